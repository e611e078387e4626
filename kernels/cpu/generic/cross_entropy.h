// Cross entropy over a row of logits, and its gradient in their place.
//
// Three passes over a row that stays in the second-level cache: the maximum, the sums of exp, the gradient. exp is
// computed twice: to keep it would need float32 room, or round twice. Sums run in pieces, so that a vocabulary of 2^18
// loses no digits; tanh is monotone, and so the maximum is found before it.
#pragma once

#include <math.h>

#include <cstdint>

#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

/// f(x) in the vectors' arithmetic, so that one element gives the bits that it has in its row.
template <typename Function>
inline float of_one(Function f, float x) {
  float lane[kWidth];
  store(lane, f(broadcast(x)));
  return lane[0];
}

/// Products to logits.
template <bool kCapped>
struct LogitOf {
  float scale, cap;

  Vec operator()(Vec z) const {
    if constexpr (kCapped) return mul(broadcast(cap), tanh(mul(z, broadcast(scale / cap))));
    return mul(z, broadcast(scale));
  }
  /// The derivative by z, where the logit is l.
  Vec slope(Vec l) const {
    const Vec ratio = mul(l, broadcast(1.0f / cap));
    return mul(broadcast(scale), sub(broadcast(1.0f), mul(ratio, ratio)));
  }
  float slope(float l) const { return kCapped ? scale * (1.0f - l / cap * (l / cap)) : scale; }
};

template <typename T>
inline float maximum_of(const T* x, std::int64_t count, bool* nan) {
  const Vec lowest = broadcast(-__builtin_inff());
  Vec best[4] = {lowest, lowest, lowest, lowest};
  unsigned bad = 0;
  std::int64_t i = 0;
  for (; i + 4 * kWidth <= count; i += 4 * kWidth) {
    for (int k = 0; k < 4; ++k) {
      const Vec value = load(x + i + k * kWidth);
      bad |= nan_mask(value);
      best[k] = max(value, best[k]);
    }
  }
  for (; i < count; i += kWidth) {
    const int n = lanes(count, i);
    const Vec value = keep_first(read(x + i, n), n, -__builtin_inff());
    bad |= nan_mask(value);
    best[0] = max(value, best[0]);
  }
  *nan = bad != 0;
  return reduce_max(max(max(best[0], best[1]), max(best[2], best[3])));
}

template <typename T>
inline std::int64_t first_equal(const T* x, std::int64_t count, float value) {
  for (std::int64_t i = 0; i < count; i += kWidth) {
    const int n = lanes(count, i);
    const unsigned found = equal_mask(read(x + i, n), broadcast(value)) & ((1u << n) - 1u);
    if (found != 0) return i + __builtin_ctz(found);
  }
  return -1;
}

struct ExpSums {
  double sum = 0;       ///< of e = exp(l - pivot)
  double weighted = 0;  ///< of e (l - pivot)
  double total = 0;     ///< of l
  double squares = 0;   ///< of e²
};

/// total and squares where kMore.
template <bool kMore, typename T, typename Logit>
inline ExpSums sums_of(const T* x, std::int64_t count, float pivot, Logit logit) {
  constexpr std::int64_t kPiece = 64 * kWidth;
  ExpSums sums;
  for (std::int64_t begin = 0; begin < count; begin += kPiece) {
    const std::int64_t end = smaller(count, begin + kPiece);
    Vec sum[2] = {zero(), zero()};
    Vec weighted[2] = {zero(), zero()};
    Vec total = zero();
    Vec squares = zero();
    int turn = 0;
    for (std::int64_t i = begin; i < end; i += kWidth, turn ^= 1) {
      const int n = lanes(end, i);
      const Vec l = logit(read(x + i, n));
      // Bounded, because infinity times an exp of 0 is NaN.
      const Vec distance = max(broadcast(-200.0f), sub(l, broadcast(pivot)));
      const Vec e = keep_first(exp(distance), n, 0.0f);
      sum[turn] = add(sum[turn], e);
      weighted[turn] = fma(e, distance, weighted[turn]);
      if constexpr (kMore) {
        total = add(total, keep_first(l, n, 0.0f));
        squares = fma(e, e, squares);
      }
    }
    float parts[4];
    reduce_add4(add(sum[0], sum[1]), add(weighted[0], weighted[1]), total, squares, parts);
    sums.sum += static_cast<double>(parts[0]);
    sums.weighted += static_cast<double>(parts[1]);
    sums.total += static_cast<double>(parts[2]);
    sums.squares += static_cast<double>(parts[3]);
  }
  return sums;
}

/// What a row's gradient is made of, with d = l - pivot: ((factor + tilt d) exp(d) - everywhere) slope. Both factors
/// hold 1 / sum.
struct Gradient {
  float factor, tilt, everywhere;
};

template <bool kCapped, bool kTilted, typename T>
inline void write_gradient(T* x, std::int64_t count, float pivot, Gradient of, LogitOf<kCapped> logit) {
  const Vec slope = broadcast(logit.scale);
  for (std::int64_t i = 0; i < count; i += kWidth) {
    const int n = lanes(count, i);
    const Vec l = logit(read(x + i, n));
    const Vec distance = sub(l, broadcast(pivot));
    Vec factor = broadcast(of.factor);
    if constexpr (kTilted) factor = fma(broadcast(of.tilt), max(broadcast(-200.0f), distance), factor);
    const Vec share = sub(mul(factor, exp(distance)), broadcast(of.everywhere));
    write(x + i, mul(share, kCapped ? logit.slope(l) : slope), n);
  }
}

template <bool kCapped, typename T>
inline void cross_entropy_row(const CrossEntropyParams& params, std::int64_t row) {
  T* const x = static_cast<T*>(params.logits) + row * params.stride;
  const std::int64_t count = params.vocabulary;
  const LogitOf<kCapped> logit{params.scale, params.softcap};
  bool nan = false;
  const float largest = maximum_of(x, count, &nan);
  const float pivot = nan || !__builtin_isfinite(largest) ? __builtin_nanf("") : of_one(logit, largest);
  const bool more = params.smoothing != 0.0f || params.mean_logit != nullptr;
  const ExpSums sums = more ? sums_of<true>(x, count, pivot, logit) : sums_of<false>(x, count, pivot, logit);
  const auto log_sum = static_cast<float>(::log(sums.sum));
  const float log_sum_exp = pivot + log_sum;
  const std::int64_t target = params.targets[row];
  const float wanted = of_one(logit, to_float(x[target]));
  // The logits' distance first: both it and log_sum are small where their sum's digits count.
  const float log_prob = wanted - pivot - log_sum;
  float loss = -(1.0f - params.smoothing) * log_prob;
  if (params.smoothing != 0.0f) {
    loss += params.smoothing * (log_sum_exp - static_cast<float>(sums.total / static_cast<double>(count)));
  }
  if (params.z_loss != 0.0f) loss += params.z_loss * log_sum_exp * log_sum_exp;
  params.loss[row] = loss;
  params.log_prob[row] = log_prob;
  params.entropy[row] = log_sum - static_cast<float>(sums.weighted / sums.sum);
  params.arg_max[row] = nan ? -1 : first_equal(x, count, largest);
  if (params.mean_logit != nullptr) {
    params.mean_logit[row] = static_cast<float>(sums.total / static_cast<double>(count));
    params.log_sum_sq[row] = static_cast<float>(::log(sums.squares) - 2.0 * ::log(sums.sum));
  }
  if (params.weights == nullptr) return;
  const float weight = params.weights[row];
  const auto sum = static_cast<float>(sums.sum);
  float share = weight * (1.0f + 2.0f * params.z_loss * log_sum_exp);
  const float everywhere = weight * params.smoothing / static_cast<float>(count);
  float tilt = 0;
  if (params.entropy_weights == nullptr) {
    write_gradient<kCapped, false>(x, count, pivot, {share / sum, 0, everywhere}, logit);
  } else {
    // The entropy's own: -p (log p + H) = -p (d - weighted / sum).
    tilt = -params.entropy_weights[row];
    share -= tilt * static_cast<float>(sums.weighted / sums.sum);
    write_gradient<kCapped, true>(x, count, pivot, {share / sum, tilt / sum, everywhere}, logit);
  }
  const float probability = of_one([](Vec at) { return exp(at); }, wanted - pivot) / sum;
  if (tilt != 0.0f) share += tilt * (wanted - pivot > -200.0f ? wanted - pivot : -200.0f);
  from_float((share * probability - everywhere - weight * (1.0f - params.smoothing)) * logit.slope(wanted), x[target]);
}

void cross_entropy(const CrossEntropyParams& params, std::int64_t begin, std::int64_t end) {
  visit(params.type, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    for (std::int64_t row = begin; row < end; ++row) {
      if (params.softcap != 0.0f) {
        cross_entropy_row<true, T>(params, row);
      } else {
        cross_entropy_row<false, T>(params, row);
      }
    }
  });
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
