// One parallel pass over all parameters: their elements cut into chunks of one size, shared by the threads.
//
// What is written depends on the element alone, and sums are kept by chunk and added in their order, so that no result
// depends on the number of threads.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "training/optimizer_method.h"
#include "training/state_memory.h"

namespace powerhouse {

/// Sums of squares of the gradients, one a slot (0 without a gradient).
std::vector<double> gradient_squares(std::span<const ParameterSlot> slots);

/// An update of one parameter by the kernel. With `seed`, what is stored in a bf16 parameter is rounded up or down at
/// random, by Philox keyed (seed, slot, step and element).
struct ElementwiseUpdate {
  cpu::UpdateParams params;
  std::int64_t count;
  std::uint32_t slot;
  std::int64_t step;
};
struct RoundingSeed {
  bool stochastic = false;
  std::uint64_t seed = 0;
};
void run_updates(std::span<const ElementwiseUpdate> updates, const StateMemory& memory, RoundingSeed rounding);

}  // namespace powerhouse
