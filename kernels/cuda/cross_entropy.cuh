// The loss of rows of logits, and its gradient in their place: a block takes a row and reads it once for everything
// that a softmax knows, and a second time, still in the cache where it fits, for the gradient.
//
// The definition is kernels/reference/cross_entropy.h. Every thread keeps its sums relative to the largest logit that
// it has met (Milakov and Gimelshein 2018, arXiv 1805.02867); threads and warps are merged in a fixed order.
#pragma once

#include "kernels/cpu/training_params.h"
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/launch_shape.h"

namespace powerhouse::cuda {

/// Of some logits l: the largest and its first place, the sums of w = exp(l - best), of w (l - best), of l and of w^2.
struct LogitSums {
  float best = -INFINITY, sum = 0, weighted = 0, total = 0, squares = 0;
  std::int32_t place = 0x7FFFFFFF;
  std::int32_t nan = 0;
};

static __device__ __forceinline__ void move_best(LogitSums& sums, float best) {
  if (sums.best == best && best > -INFINITY && best < INFINITY) return;
  const float distance = sums.best - best;
  if (sums.best == -INFINITY) return;  // sums of nothing, or of logits that can't be taken
  const float scale = expf(distance);
  sums.weighted = scale * (sums.weighted + sums.sum * distance);
  sums.sum *= scale;
  sums.squares *= scale * scale;
}

static __device__ __forceinline__ LogitSums merge(LogitSums a, LogitSums b) {
  const float best = maximum(a.best, b.best);
  const bool second = b.best > a.best || (b.best == a.best && b.place < a.place);
  move_best(a, best);
  move_best(b, best);
  return {best,
          a.sum + b.sum,
          a.weighted + b.weighted,
          a.total + b.total,
          a.squares + b.squares,
          second ? b.place : a.place,
          a.nan | b.nan};
}

static __device__ __forceinline__ LogitSums warp_merge(LogitSums sums) {
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    const LogitSums other{shuffle_xor(sums.best, lanes),     shuffle_xor(sums.sum, lanes),
                          shuffle_xor(sums.weighted, lanes), shuffle_xor(sums.total, lanes),
                          shuffle_xor(sums.squares, lanes),  shuffle_xor(sums.place, lanes),
                          shuffle_xor(sums.nan, lanes)};
    // The lower lane's come first in both, so that all lanes get the same bits.
    sums = (threadIdx.x & static_cast<unsigned>(lanes)) == 0 ? merge(sums, other) : merge(other, sums);
  }
  return sums;
}

/// All threads of the block come and get the same. The scratch holds the 32 warps' numbers of each kind side by side.
static __device__ __forceinline__ LogitSums block_merge(LogitSums sums) {
  sums = warp_merge(sums);
  if (blockDim.x == 32) return sums;
  auto* const floats = reinterpret_cast<float*>(shared_memory());
  auto* const integers = reinterpret_cast<std::int32_t*>(floats + 5 * 32);
  const unsigned lane = threadIdx.x % 32;
  const unsigned warp = threadIdx.x / 32;
  if (lane == 0) {
    floats[warp] = sums.best;
    floats[32 + warp] = sums.sum;
    floats[64 + warp] = sums.weighted;
    floats[96 + warp] = sums.total;
    floats[128 + warp] = sums.squares;
    integers[warp] = sums.place;
    integers[32 + warp] = sums.nan;
  }
  sync_block();
  LogitSums other;
  if (lane < blockDim.x / 32) {
    other = {floats[lane],       floats[32 + lane], floats[64 + lane],  floats[96 + lane],
             floats[128 + lane], integers[lane],    integers[32 + lane]};
  }
  return warp_merge(other);
}

static __device__ __forceinline__ float scaled_logit(const cpu::CrossEntropyParams& params, float z) {
  const float logit = params.scale * z;
  return params.softcap == 0 ? logit : params.softcap * tanhf(logit / params.softcap);
}

template <int kCount>
static __device__ __forceinline__ void take_logits(const cpu::CrossEntropyParams& params, const float (&z)[kCount],
                                                   std::int64_t at, LogitSums& sums) {
  float logits[kCount];
  float best = sums.best;
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    logits[i] = scaled_logit(params, z[i]);
    best = maximum(best, logits[i]);
  }
  move_best(sums, best);
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    if (logits[i] != logits[i]) sums.nan = 1;
    if (logits[i] > sums.best) {
      sums.best = logits[i];
      sums.place = static_cast<std::int32_t>(at) + i;
    } else if (logits[i] == sums.best && sums.place > at + i) {
      sums.place = static_cast<std::int32_t>(at) + i;  // -infinity, the first of them
    }
    sums.total += logits[i];
    if (logits[i] == -INFINITY) continue;
    const float distance = logits[i] - best;
    const float weight = expf(distance);
    sums.sum += weight;
    sums.weighted += weight * distance;
    sums.squares += weight * weight;
  }
  sums.best = best;
}

/// What the gradient of a row needs.
struct LogitSlope {
  float log_sum_exp, factor, weight, smoothed;
  float entropy, entropy_weight;
  std::int64_t target;
};

template <int kCount>
static __device__ __forceinline__ void logit_gradients(const cpu::CrossEntropyParams& params, const LogitSlope& row,
                                                       std::int64_t at, float (&z)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const float logit = scaled_logit(params, z[i]);
    float slope = params.scale;
    if (params.softcap != 0) slope *= 1.0f - (logit / params.softcap) * (logit / params.softcap);
    const float wanted = (at + i == row.target ? 1.0f - params.smoothing : 0.0f) + row.smoothed;
    const float log_p = logit - row.log_sum_exp;
    const float p = expf(log_p);
    float gradient = row.weight * (p * row.factor - wanted);
    if (row.entropy_weight != 0 && logit != -INFINITY) gradient -= row.entropy_weight * p * (log_p + row.entropy);
    z[i] = gradient * slope;
  }
}

template <typename T, int kWidth>
__global__ void __launch_bounds__(512) cross_entropy_kernel(const cpu::CrossEntropyParams params) {
  const std::int64_t row = blockIdx.x;
  T* const logits = static_cast<T*>(params.logits) + row * params.stride;
  const std::int64_t whole = params.vocabulary / kWidth * kWidth;  // what follows is taken one by one
  const std::int64_t step = static_cast<std::int64_t>(blockDim.x) * kWidth;
  const std::int64_t target = params.targets[row];

  LogitSums sums;
  for (std::int64_t at = static_cast<std::int64_t>(threadIdx.x) * kWidth; at < whole; at += step) {
    float z[kWidth];
    load_elements(logits + at, z);
    take_logits(params, z, at, sums);
  }
  for (std::int64_t at = whole + threadIdx.x; at < params.vocabulary; at += blockDim.x) {
    const float z[1] = {widen(logits[at])};
    take_logits(params, z, at, sums);
  }
  const float target_logit = threadIdx.x == 0 ? scaled_logit(params, widen(logits[target])) : 0.0f;
  if (blockDim.x == 32) sync_warp();  // before the gradient takes that logit's place
  sums = block_merge(sums);

  const auto count = static_cast<float>(params.vocabulary);
  const float log_sum = logf(sums.sum);
  const float log_sum_exp = sums.best + log_sum;
  const float entropy = log_sum - sums.weighted / sums.sum;
  if (threadIdx.x == 0) {
    const float log_prob = target_logit - log_sum_exp;
    float loss = -(1.0f - params.smoothing) * log_prob;
    if (params.smoothing != 0) loss += params.smoothing * (log_sum_exp - sums.total / count);
    if (params.z_loss != 0) loss += params.z_loss * log_sum_exp * log_sum_exp;
    params.loss[row] = loss;
    params.log_prob[row] = log_prob;
    params.entropy[row] = entropy;
    if (params.mean_logit != nullptr) {
      params.mean_logit[row] = sums.total / count;
      params.log_sum_sq[row] = logf(sums.squares) - 2.0f * log_sum;
    }
    params.arg_max[row] = sums.nan != 0 ? -1 : sums.place;
  }
  if (params.weights == nullptr) return;
  const LogitSlope slope{log_sum_exp,
                         1.0f + 2.0f * params.z_loss * log_sum_exp,
                         params.weights[row],
                         params.smoothing / count,
                         entropy,
                         params.entropy_weights == nullptr ? 0.0f : params.entropy_weights[row],
                         target};
  for (std::int64_t at = static_cast<std::int64_t>(threadIdx.x) * kWidth; at < whole; at += step) {
    float z[kWidth];
    load_elements(logits + at, z);
    logit_gradients(params, slope, at, z);
    store_elements(logits + at, z);
  }
  for (std::int64_t at = whole + threadIdx.x; at < params.vocabulary; at += blockDim.x) {
    float z[1] = {widen(logits[at])};
    logit_gradients(params, slope, at, z);
    logits[at] = narrow<T>(z[0]);
  }
}

template <typename Launch>
void launch_cross_entropy(const Launch& launch, const cpu::CrossEntropyParams& p, std::int64_t rows) {
  const bool whole = Alignment{element_bytes(p.type)}.pointer(p.logits).elements(p.stride).whole;
  visit_element(p.type, [&](auto tag) {
    using T = decltype(tag);
    const std::int64_t vectors = divide_up(p.vocabulary, whole ? kWidest<T> : 1);
    const std::int64_t threads = vectors >= 512 ? 512 : divide_up(vectors, 32) * 32;
    const LaunchShape shape{
        .grid_x = rows, .block_x = static_cast<unsigned>(threads), .shared_bytes = threads > 32 ? 7 * 32 * 4 : 0};
    launch(shape, whole ? cross_entropy_kernel<T, kWidest<T>> : cross_entropy_kernel<T, 1>, p);
  });
}

}  // namespace powerhouse::cuda
