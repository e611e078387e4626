// How several LoRA adapters become one: options of add_weighted_adapter (powerhouse/adapter.h), in PEFT's words.
#pragma once

#include <cstdint>
#include <optional>

namespace powerhouse {

/// How LoRA adapters join to one (PEFT's add_weighted_adapter). linear: A and B are summed, each times the root of
/// weight * scale; equal ranks. cat: one behind the other, exact. svd: the sum's best approximation of rank `rank`.
/// The others prune A and B (with _svd: B A) first: magnitude_prune keeps the largest values, dare_* random ones,
/// scaled up; ties and dare_ties then take the mean of those values that have the elected sign.
enum class Combination {
  linear,
  cat,
  svd,
  ties,         ///< Yadav et al. 2023
  dare_linear,  ///< Yu et al. 2024
  dare_ties,
  magnitude_prune,
  ties_svd,
  dare_linear_svd,
  dare_ties_svd,
  magnitude_prune_svd
};
/// What elects a sign: the sum of the values, or how many there are of each.
enum class MajoritySign { total, frequency };
struct CombineOptions {
  Combination combination = Combination::svd;
  std::int64_t rank = 0;            ///< svd; 0: the largest of the parts
  std::optional<double> density{};  ///< the share of values that is kept; where there is pruning, and only there
  MajoritySign majority_sign = MajoritySign::total;
  std::uint64_t seed = 0;  ///< of dare_*
};

}  // namespace powerhouse
