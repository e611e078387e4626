// Normal random numbers by Box and Muller (1958), over Philox: functions of (seed, stream, lane, index) alone.
#pragma once

#include <cstdint>

#include "support/philox.h"

namespace powerhouse {

/// Fills out[0..count) with numbers of mean 0. Threads share the work and change nothing of it.
void fill_normal(float* out, std::int64_t count, double deviation, const Random& random);

}  // namespace powerhouse
