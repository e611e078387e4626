// Steps of optimizers under the shim, held to the plain loops in float64: AdamW with states of eight-bit codes, all
// rules with states of numbers, and sums of squares.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda_rows/device_buffers.h"

namespace powerhouse::testing {

struct CodedCase {
  std::int64_t elements;
  bool master, parameter, fresh;
  float l2;
};
/// Codes, and those that are a neighbour of the right one: a number on a bound may fall on either side of it.
struct ComparedCodes {
  std::size_t all = 0, moved = 0;
};
/// What is wrong; empty: nothing, if few codes moved, which are counted.
std::string wrong_coded_update(const CodedCase& one, Element type, cuda_on_host::Order order, std::uint64_t seed,
                               ComparedCodes& codes);

struct RuleCase {
  cpu::UpdateRule rule;
  int states;
  bool master, parameter, first, nesterov;
};
/// All rules, with the states that they may have.
std::vector<RuleCase> rule_cases();
/// What is wrong with parameters of so many elements, all by one rule; empty: nothing. States are of the gradient's
/// type or float32.
std::string wrong_update(const RuleCase& one, Element type, bool wide_states, const std::vector<std::int64_t>& sizes,
                         cuda_on_host::Order order, std::uint64_t seed);

/// What is wrong with the sums of squares of gradients of so many elements; empty: nothing. The sums themselves.
std::string wrong_sums(Element type, const std::vector<std::int64_t>& sizes, cuda_on_host::Order order,
                       std::uint64_t seed, std::vector<double>& sums);

}  // namespace powerhouse::testing
