// Dropout (Srivastava et al. 2014) whose mask is a function of its key: computed again in backward, never stored.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace powerhouse::ops {

/// Each element is kept with probability 1 - rate, and then divided by that. Element (row, column) of [rows, columns]
/// takes the 16-bit word column % 8 of the Philox block counter + row * ceil(columns / 8) + column / 8 of the dropout
/// stream, so that a use consumes rows * ceil(columns / 8) blocks; rates are exact to 2^-16.
struct Dropout {
  float rate = 0;             ///< [0, 1); 0: none
  std::uint64_t seed = 0;     ///< of the run
  std::uint32_t lane = 0;     ///< tells modules apart
  std::uint64_t counter = 0;  ///< tells uses of a module apart: its first block
};

/// x [rows, columns] with its dropout, in x's type; x itself where the rate is 0. Not seen by autograd.
at::Tensor dropped(const at::Tensor& x, const Dropout& dropout);

/// Error{range} unless the rate is in [0, 1).
void check_dropout(const Dropout& dropout);

}  // namespace powerhouse::ops
