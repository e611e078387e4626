// The nearest point of an i-quant's grid: kWidth neighbours at a time, whose costs are looked up level by level. Costs
// add up in the order of dimensions, and of equal ones the first counts, as in kernels/reference/encode_lattice.cpp.
#pragma once

#include "kernels/cpu/generic/math.h"
#include "kernels/reference/encode.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

template <int kDimensions>
inline int nearest_neighbour(const std::uint16_t* near, const std::uint16_t* words, const encoding::PointQuery& query) {
  constexpr int kBits = kDimensions == 8 ? 2 : 3;
  constexpr float kNone = 0x1.fffffep127f;
  alignas(64) float repeated[kWidth];
  alignas(64) float numbers[kWidth];
  for (int lane = 0; lane < kWidth; ++lane) {
    repeated[lane] = query.values[lane % (1 << kBits)];
    numbers[lane] = static_cast<float>(lane);
  }
  const Vec values = mul(broadcast(query.scale), load(repeated));
  Vec costs[kDimensions];
  for (int d = 0; d < kDimensions; ++d) {
    const Vec off = sub(values, broadcast(query.x[d]));
    costs[d] = mul(mul(broadcast(query.weights[d]), off), off);
  }
  const int count = near[0];
  const Vec lane_numbers = load(numbers);
  Vec least = broadcast(kNone);
  Vec where = zero();
  for (int i = 0; i < count; i += kWidth) {
    const Words points = load_words(words + 1 + i);
    Vec cost = zero();
    for (int d = 0; d < kDimensions; ++d) cost = add(cost, pick(costs[d], points, kBits * d));
    cost = select_less(lane_numbers, broadcast(static_cast<float>(count - i)), cost, broadcast(kNone));
    where = select_less(cost, least, broadcast(static_cast<float>(i)), where);
    least = select_less(cost, least, cost, least);
  }
  const float best = -reduce_max(sub(zero(), least));
  if (!(best < kNone)) return -1;
  alignas(64) float places[kWidth];
  store(places, where);
  int first = count;
  for (unsigned lanes = equal_mask(least, broadcast(best)); lanes != 0; lanes &= lanes - 1) {
    const int lane = __builtin_ctz(lanes);
    const int place = static_cast<int>(places[lane]) + lane;
    first = place < first ? place : first;
  }
  return near[1 + first];
}

inline int nearest_point(const encoding::Lattice& grid, std::uint16_t word, const encoding::PointQuery& query) {
  const std::int32_t code = grid.codes[word];
  if (code >= 0) return code;
  const std::uint16_t* const near = grid.neighbours + (-1 - code);
  const std::uint16_t* const words = grid.neighbour_words + (-1 - code);
  return grid.dimensions == 8 ? nearest_neighbour<8>(near, words, query) : nearest_neighbour<4>(near, words, query);
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
