// The maps of 8-bit states: bitsandbytes' dynamic data type (Dettmers 2015, arXiv 1511.04561), 256 values whose
// exponent takes as many bits as the number is small. Signed for first moments, unsigned for second ones.
#pragma once

#include "kernels/cpu/optimizer_params.h"

namespace powerhouse {

/// Made on first use, kept for good.
const cpu::StateCodes& signed_state_codes();
const cpu::StateCodes& unsigned_state_codes();

}  // namespace powerhouse
