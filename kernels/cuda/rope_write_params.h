// The arguments of RoPE for a step of decoding: queries turn where they lie, keys on their way into the cache.
#pragma once

#include "kernels/cpu/elementwise_params.h"
#include "kernels/cuda/paged_attention_params.h"

namespace powerhouse::cuda {

/// `queries` are turned in place, row by row of the table as rope() does. `write.keys` are turned by the same angles
/// and written with `write.values` as paged_write() does; they themselves stay as they are. The cache holds elements of
/// `write.type`, which is the queries'.
struct RopeWriteParams {
  cpu::RopeParams queries{};
  PagedWriteParams write{};
};

}  // namespace powerhouse::cuda
