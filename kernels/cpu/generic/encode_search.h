// The searches of kernels/reference/encode_search.h for kWidth groups at once, a group a lane: sums run over a group's
// elements in their order, so that results are the reference's to the bit. Trials can't be side by side, because one
// depends on those before it.
//
// What does not hold for a lane is never branched upon but selected away.
#pragma once

#include "kernels/cpu/generic/math.h"
#include "kernels/reference/encode_search.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

/// Element i of the group in lane l stands at [i * kWidth + l].
struct Groups {
  alignas(64) float x[32 * kWidth];
  alignas(64) float weights[32 * kWidth];
  alignas(64) float codes[32 * kWidth];  ///< room of the searches
};

/// What a search found in each lane. The codes that belong to it are those of turn * (x - base), or all zero where turn
/// is 0.
struct Found {
  Vec scale, low, turn, base;
};

inline Vec at(const float* rows, int i) { return load(rows + i * kWidth); }
inline Vec least_number() { return broadcast(-__builtin_inff()); }

/// yes where a > 0, else no.
inline Vec if_positive(Vec a, Vec yes, Vec no) { return select_less(zero(), a, yes, no); }

template <bool kAbsolute>
inline Vec lane_error(const Groups& groups, int count, Vec scale, Vec low) {
  Vec error = zero();
  for (int i = 0; i < count; ++i) {
    const Vec off = sub(add(mul(scale, at(groups.codes, i)), low), at(groups.x, i));
    error = add(error, mul(at(groups.weights, i), kAbsolute ? absolute(off) : mul(off, off)));
  }
  return error;
}

/// `low` is minus the minimum of the reference's result.
template <bool kAbsolute>
inline Found search_affine(const encoding::AffineSearch& search, int count, Groups& groups) {
  Vec low = at(groups.x, 0);
  Vec high = low;
  Vec weight = at(groups.weights, 0);
  Vec moment = mul(weight, low);
  for (int i = 1; i < count; ++i) {
    const Vec x = at(groups.x, i);
    low = select_less(x, low, x, low);
    high = select_less(high, x, x, high);
    weight = add(weight, at(groups.weights, i));
    moment = add(moment, mul(at(groups.weights, i), x));
  }
  low = if_positive(low, zero(), low);
  const Vec first_low = low;
  const auto most = static_cast<float>(search.most);
  const Vec first_turn = div(broadcast(most), sub(high, low));
  Found best{div(broadcast(1.0f), first_turn), low, first_turn, low};
  for (int i = 0; i < count; ++i) {
    store(groups.codes + i * kWidth, nearest_code(mul(first_turn, sub(at(groups.x, i), low)), 0, search.most));
  }
  Vec least = lane_error<kAbsolute>(groups, count, best.scale, low);
  for (int trial = 0; trial <= search.last; ++trial) {
    const float range = search.first + search.step * static_cast<float>(trial) + most;
    const Vec turn = div(broadcast(range), sub(high, best.low));
    Vec codes = zero();
    Vec squares = zero();
    Vec products = zero();
    for (int i = 0; i < count; ++i) {
      const Vec x = at(groups.x, i);
      const Vec code = nearest_code(mul(turn, sub(x, best.low)), 0, search.most);
      store(groups.codes + i * kWidth, code);
      const Vec weighted = mul(at(groups.weights, i), code);
      codes = add(codes, weighted);
      squares = add(squares, mul(weighted, code));
      products = add(products, mul(weighted, x));
    }
    const Vec determinant = sub(mul(weight, squares), mul(codes, codes));
    const Vec fit_scale = div(sub(mul(weight, products), mul(moment, codes)), determinant);
    const Vec fit_low = div(sub(mul(squares, moment), mul(codes, products)), determinant);
    const Vec scale = if_positive(fit_low, div(products, squares), fit_scale);
    const Vec trial_low = if_positive(fit_low, zero(), fit_low);
    const Vec made = lane_error<kAbsolute>(groups, count, scale, trial_low);
    const Vec error = if_positive(determinant, made, broadcast(__builtin_inff()));
    best.scale = select_less(error, least, scale, best.scale);
    best.turn = select_less(error, least, turn, best.turn);
    best.base = select_less(error, least, best.low, best.base);
    best.low = select_less(error, least, trial_low, best.low);
    least = select_less(error, least, error, least);
  }
  // Lanes without a range.
  best.scale = select_less(first_low, high, best.scale, zero());
  best.turn = select_less(first_low, high, best.turn, zero());
  best.low = select_less(first_low, high, best.low, first_low);
  return best;
}

/// The element of largest magnitude in each lane, the first of several.
inline Vec largest(const Groups& groups, int count) {
  Vec most = zero();
  Vec value = zero();
  for (int i = 0; i < count; ++i) {
    const Vec x = at(groups.x, i);
    const Vec size = absolute(x);
    value = select_less(most, size, x, value);
    most = select_less(most, size, size, most);
  }
  return value;
}

inline Found search_signed(int half, int count, Groups& groups) {
  const Vec most = largest(groups, count);
  for (int i = 0; i < count; ++i) {  // weight * x, the left part of each product
    store(groups.codes + i * kWidth, mul(at(groups.weights, i), at(groups.x, i)));
  }
  Found found{zero(), zero(), zero(), zero()};
  Vec best = zero();
  for (int trial = 0; trial < 19; ++trial) {
    const int step = trial == 0 ? 0 : trial - (trial <= 9 ? 10 : 9);
    const float range = -(static_cast<float>(half) + 0.1f * static_cast<float>(step));
    const Vec turn = div(broadcast(range), most);
    Vec products = zero();
    Vec norms = zero();
    for (int i = 0; i < count; ++i) {
      const Vec code = nearest_code(mul(turn, at(groups.x, i)), -half, half - 1);
      products = add(products, mul(at(groups.codes, i), code));
      norms = add(norms, mul(mul(at(groups.weights, i), code), code));
    }
    const Vec scale = div(products, norms);
    if (trial == 0) {
      found.scale = if_positive(norms, scale, norms);  // 0, or NaN
      found.turn = turn;
      best = mul(found.scale, products);
      continue;
    }
    const Vec score = if_positive(norms, mul(products, products), least_number());
    const Vec bar = mul(best, norms);
    found.scale = select_less(bar, score, scale, found.scale);
    found.turn = select_less(bar, score, turn, found.turn);
    best = select_less(bar, score, mul(scale, products), best);
  }
  const Vec nothing = broadcast(encoding::kNothing);
  found.scale = select_less(absolute(most), nothing, zero(), found.scale);
  found.turn = select_less(absolute(most), nothing, zero(), found.turn);
  return found;
}

/// Codes stay in groups.codes, from -half; weights are x^2. A lane in which nothing changed in a round stays as it is
/// in the next ones.
inline Vec search_by_descent(int half, int count, Groups& groups) {
  const Vec most = largest(groups, count);
  const Vec turn = div(broadcast(static_cast<float>(-half)), most);
  Vec products = zero();
  Vec norms = zero();
  for (int i = 0; i < count; ++i) {
    const Vec x = at(groups.x, i);
    const Vec weight = mul(x, x);
    const Vec code = nearest_code(mul(turn, x), -half, half - 1);
    store(groups.codes + i * kWidth, code);
    products = add(products, mul(mul(weight, x), code));
    norms = add(norms, mul(mul(weight, code), code));
  }
  for (int round = 0; round < 5; ++round) {
    Vec changed = zero();
    for (int i = 0; i < count; ++i) {
      const Vec x = at(groups.x, i);
      const Vec weight = mul(x, x);
      const Vec product = mul(weight, x);
      const Vec old = at(groups.codes, i);
      const Vec rest = sub(products, mul(product, old));
      const Vec rest_norm = sub(norms, mul(mul(weight, old), old));
      const Vec code = nearest_code(div(mul(x, rest_norm), rest), -half, half - 1);
      const Vec new_products = add(rest, mul(product, code));
      const Vec new_norms = add(rest_norm, mul(mul(weight, code), code));
      Vec score = mul(mul(new_products, new_products), norms);
      score = if_positive(rest, score, least_number());
      score = if_positive(new_norms, score, least_number());
      score = if_positive(absolute(sub(code, old)), score, least_number());
      const Vec bar = mul(mul(products, products), new_norms);
      store(groups.codes + i * kWidth, select_less(bar, score, code, old));
      products = select_less(bar, score, new_products, products);
      norms = select_less(bar, score, new_norms, norms);
      changed = select_less(bar, score, broadcast(1.0f), changed);
    }
    if (reduce_max(changed) == 0.0f) break;
  }
  const Vec scale = if_positive(norms, div(products, norms), zero());
  return select_less(absolute(most), broadcast(encoding::kNothing), zero(), scale);
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
