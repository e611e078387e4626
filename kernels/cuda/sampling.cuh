// Draws a token from each row of logits without sorting it. What top_k and top_p leave is everything from some logit
// on; that logit is found four bits at a time: a pass over the row sums counts or weights by the next four bits of an
// order-preserving integer, each thread into bins of its own, so that no sum depends on the order of threads.
//
// The definition is kernels/reference/sampling.h. Sums are in float32 here: which token a number falls on can differ
// from it where shares meet.
#pragma once

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/launch_shape.h"
#include "kernels/cuda/philox.cuh"
#include "kernels/cuda/row_sums.cuh"
#include "kernels/cuda/sampling_params.h"

namespace powerhouse::cuda {

inline constexpr int kSamplingThreads = 512, kSamplingWarps = kSamplingThreads / 32, kBins = 16;
static_assert(kBins == kSamplingWarps);  // a warp adds up a bin

/// Larger logits have larger keys; NaN has none.
static __device__ __forceinline__ std::uint32_t key_of(float logit) {
  const std::uint32_t bits = as_bits(logit);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}
static __device__ __forceinline__ float logit_of(std::uint32_t key) {
  return as_float((key & 0x80000000u) != 0 ? key ^ 0x80000000u : ~key);
}

/// One row, and what is left of it: the logits with keys from `floor` on, of those at `floor` the ids from `first` on.
struct RowOfLogits {
  const float* logits;
  int vocabulary;
  float best, inverse_temperature;
  std::uint32_t floor;
  int first;

  __device__ __forceinline__ bool left(std::uint32_t key, int id) const {
    return key > floor || (key == floor && id >= first);
  }
  /// 1 for the best, whatever the temperature.
  __device__ __forceinline__ float weight(float logit) const {
    return logit == best ? 1.0f : expf((logit - best) * inverse_temperature);
  }
};

/// The largest key from which on the sum reaches `wanted`; what lies above it.
struct Threshold {
  std::uint32_t key;
  float above;
};

/// element(id, key, value) tells what an id brings, false where it is not left.
template <typename Element>
static __device__ __forceinline__ Threshold find_threshold(int vocabulary, float wanted, float* bins,
                                                           const Element& element) {
  const int thread = static_cast<int>(threadIdx.x);
  float* const totals = bins + kBins * kSamplingThreads;
  Threshold found{0, 0};
  for (int shift = 28; shift >= 0; shift -= 4) {
    for (int part = 0; part < kBins / 4; ++part) store_words(bins + (part * kSamplingThreads + thread) * 4, Words{});
    sync_block();
    for (int id = thread; id < vocabulary; id += kSamplingThreads) {
      std::uint32_t key;
      float value;
      if (!element(id, key, value)) continue;
      if (shift < 28 && key >> (shift + 4) != found.key >> (shift + 4)) continue;
      bins[static_cast<int>(key >> shift & 15u) * kSamplingThreads + thread] += value;
    }
    sync_block();
    const float* const own = bins + thread / 32 * kSamplingThreads;
    float sum = 0;
    for (int i = thread % 32 * 4; i < kSamplingThreads; i += 32 * 4) {
      float four[4];
      load_elements(own + i, four);
      sum += four[0] + four[1] + (four[2] + four[3]);
    }
    sum = warp_sum(sum);
    if (thread % 32 == 0) totals[thread / 32] = sum;
    sync_block();
    // Of sums that rounding keeps below `wanted`, the lowest that is not empty.
    float above = found.above, before = found.above;
    std::uint32_t digit = 0;
    for (int bin = kBins - 1; bin >= 0; --bin) {
      if (totals[bin] == 0) continue;
      digit = static_cast<std::uint32_t>(bin);
      before = above;
      above += totals[bin];
      if (above >= wanted) break;
    }
    found.above = before;
    found.key |= digit << shift;
  }
  sync_block();  // before the bins are used again
  return found;
}

/// Keeps the top_k largest, with all that equal the last.
static __device__ __forceinline__ void keep_top_k(RowOfLogits& row, int top_k, float* bins) {
  if (top_k <= 0 || top_k >= row.vocabulary) return;
  row.floor =
      find_threshold(row.vocabulary, static_cast<float>(top_k), bins, [&](int id, std::uint32_t& key, float& value) {
        key = key_of(row.logits[id]);
        value = 1;
        return true;
      }).key;
}

/// Keeps the most probable while those before hold less than top_p of what is left; of equals the larger ids.
static __device__ __forceinline__ void keep_top_p(RowOfLogits& row, float top_p, float total, float* bins) {
  if (top_p >= 1) return;
  const float wanted = top_p * total;
  const Threshold found = find_threshold(row.vocabulary, wanted, bins, [&](int id, std::uint32_t& key, float& value) {
    const float logit = row.logits[id];
    key = key_of(logit);
    value = row.weight(logit);
    return row.left(key, id) && value > 0;
  });
  row.floor = found.key;
  const float equals = ceilf((wanted - found.above) / row.weight(logit_of(found.key)));
  row.first = static_cast<int>(
      find_threshold(row.vocabulary, equals < 1 ? 1.0f : equals, bins, [&](int id, std::uint32_t& key, float& value) {
        key = static_cast<std::uint32_t>(id);
        value = 1;
        return key_of(row.logits[id]) == row.floor;
      }).key);
}

/// The sums of weights that are left, by warp: warp w has ids [w, w + 1) * part.
static __device__ __forceinline__ float sum_weights(const RowOfLogits& row, int part, float* totals) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int end = (warp + 1) * part < row.vocabulary ? (warp + 1) * part : row.vocabulary;
  float sum = 0;
  for (int id = warp * part + lane; id < end; id += 32) {
    const float logit = row.logits[id];
    if (row.left(key_of(logit), id)) sum += row.weight(logit);
  }
  sum = warp_sum(sum);
  if (lane == 0) totals[warp] = sum;
  sync_block();
  float total = 0;
  for (int w = 0; w < kSamplingWarps; ++w) total += totals[w];
  return total;
}

/// The first id at which the sum over a warp's part passes `target`; the last that is left where none does.
static __device__ __forceinline__ int find_token(const RowOfLogits& row, int begin, int end, float target) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  float before = 0;
  int last = -1;
  for (int first = begin; first < end; first += 32) {
    const int id = first + lane;
    const float logit = id < end ? row.logits[id] : -INFINITY;
    const float weight = id < end && row.left(key_of(logit), id) ? row.weight(logit) : 0.0f;
    float sum = weight;
#pragma unroll
    for (int lanes = 1; lanes < 32; lanes *= 2) {
      const float other = shuffle_up(sum, lanes);
      if (lane >= lanes) sum += other;
    }
    const unsigned passed = ballot(weight > 0 && before + sum > target);
    if (passed != 0) return first + lowest_bit(passed);
    const unsigned some = ballot(weight > 0);
    if (some != 0) last = first + highest_bit(some);
    before += shuffle(sum, 31);
  }
  return last;
}

/// The largest logit and its first place; NaN where one is NaN.
struct Largest {
  float logit;
  int place;
};
static __device__ __forceinline__ Largest larger(Largest a, Largest b) {
  if (a.logit != a.logit || b.logit != b.logit) return {NAN, -1};
  if (a.logit != b.logit) return a.logit > b.logit ? a : b;
  return a.place < b.place ? a : b;
}
static __device__ __forceinline__ Largest warp_largest(Largest best) {
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    best = larger(best, {shuffle_xor(best.logit, lanes), shuffle_xor(best.place, lanes)});
  }
  return best;
}
static __device__ __forceinline__ Largest find_largest(const float* logits, int vocabulary, float* scratch) {
  const int thread = static_cast<int>(threadIdx.x);
  Largest best{-INFINITY, 0x7FFFFFFF};
  for (int id = thread; id < vocabulary; id += kSamplingThreads) best = larger(best, {logits[id], id});
  best = warp_largest(best);
  auto* const places = reinterpret_cast<std::int32_t*>(scratch + kSamplingWarps);
  if (thread % 32 == 0) {
    scratch[thread / 32] = best.logit;
    places[thread / 32] = best.place;
  }
  sync_block();
  Largest other{-INFINITY, 0x7FFFFFFF};
  if (thread % 32 < kSamplingWarps) other = {scratch[thread % 32], places[thread % 32]};
  best = warp_largest(other);
  sync_block();
  return best;
}

/// Uniform in [0, 1) with 24 bits.
static __device__ __forceinline__ float uniform_of(const SamplingRow& options) {
  const PhiloxWords words = philox({{static_cast<std::uint32_t>(options.counter),
                                     static_cast<std::uint32_t>(options.counter >> 32), options.lane, options.stream}},
                                   options.key[0], options.key[1]);
  return static_cast<float>(words.word[0] >> 8) * 0x1.0p-24f;
}

static __global__ void __launch_bounds__(kSamplingThreads, 1) sampling_kernel(const SamplingParams params) {
  auto* const bins = reinterpret_cast<float*>(shared_memory());
  const SamplingRow& options = params.options[blockIdx.x];
  RowOfLogits row{params.logits + blockIdx.x * params.stride, static_cast<int>(params.vocabulary), 0, 0, 0, 0};
  std::int64_t* const token = params.tokens + blockIdx.x;
  const Largest best = find_largest(row.logits, row.vocabulary, bins);
  const bool usable = best.logit > -INFINITY && best.logit < INFINITY;
  if (!usable || options.temperature == 0) {
    if (threadIdx.x == 0) *token = usable ? best.place : -1;
    return;
  }
  row.best = best.logit;
  row.inverse_temperature = 1.0f / options.temperature;
  keep_top_k(row, options.top_k, bins);
  const int part = (row.vocabulary + kSamplingWarps - 1) / kSamplingWarps;
  float* const totals = bins + kBins * kSamplingThreads + kBins;
  if (options.top_p < 1) {
    keep_top_p(row, options.top_p, sum_weights(row, part, totals), bins);
  }
  if (options.min_p > 0) {
    const std::uint32_t bound = key_of(row.best + options.temperature * logf(options.min_p));
    if (bound > row.floor) {
      row.floor = bound;
      row.first = 0;
    }
  }
  sync_block();
  const float total = sum_weights(row, part, totals);
  const float target = uniform_of(options) * total;
  int warp = -1;  // whose part the number falls into: the last that is not empty where rounding leaves it behind all
  float before = 0, rest = target;
  for (int w = 0; w < kSamplingWarps; ++w) {
    if (totals[w] == 0) continue;
    warp = w;
    rest = target - before;
    before += totals[w];
    if (before > target) break;
  }
  if (static_cast<int>(threadIdx.x) / 32 != warp) return;
  const int end = (warp + 1) * part < row.vocabulary ? (warp + 1) * part : row.vocabulary;
  const int found = find_token(row, warp * part, end, rest);
  if (threadIdx.x % 32 == 0) *token = found;
}

template <typename Launch>
void launch_sampling(const Launch& launch, const SamplingParams& p, std::int64_t rows) {
  launch(LaunchShape{.grid_x = rows,
                     .block_x = kSamplingThreads,
                     .shared_bytes = (kBins * kSamplingThreads + kBins + kSamplingWarps) * 4},
         sampling_kernel, p);
}

}  // namespace powerhouse::cuda
