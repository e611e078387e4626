// Query vectors of paged attention: the rows of a sequence times the heads that read one key-value head. A block takes
// some of them, a lane holds scores of two: what they see, and what becomes of their scores before the softmax.
#pragma once

#include "kernels/cuda/flash_attention/scores.cuh"
#include "kernels/cuda/paged_attention/pages.cuh"

namespace powerhouse::cuda {

/// Vector v is row v / group, head v % group.
struct PagedVectors {
  PagedSequence sequence;
  int kv_head, group;
  int first, count;  // the block's, from vector `first` on

  __device__ __forceinline__ PagedVectors(const PagedAttentionParams& p, const PagedPlan& plan)
      : sequence(p.cache, static_cast<int>(blockIdx.z)) {
    kv_head = static_cast<int>(blockIdx.y) % p.cache.kv_heads;
    group = p.heads / p.cache.kv_heads;
    first = static_cast<int>(blockIdx.y) / p.cache.kv_heads * plan.vector_tiles * 16;
    count = smaller(plan.vector_tiles * 16, sequence.rows * group - first);
  }
  __device__ __forceinline__ int row(int vector) const { return (first + vector) / group; }
  __device__ __forceinline__ int head(int vector) const { return kv_head * group + (first + vector) % group; }
  __device__ __forceinline__ SeenPositions seen(int vector, int window) const {
    return {sequence.position(row(vector)), window};
  }
  /// What any of them sees.
  __device__ __forceinline__ SeenPositions all_seen(int window) const {
    SeenPositions seen(sequence.position(row(count - 1)), 0);
    seen.begin = this->seen(0, window).begin;
    return seen;
  }
};

/// One of the two vectors that a lane holds scores of; one that is absent sees nothing.
struct ScoredVector {
  int begin = 0, end = 0;
  float slope = 0.0f;

  __device__ __forceinline__ ScoredVector(const PagedAttentionParams& p, const PagedVectors& vectors, int vector) {
    if (vector >= vectors.count) return;
    const SeenPositions seen = vectors.seen(vector, p.window);
    begin = seen.begin;
    end = seen.end;
    if (p.alibi_slopes != nullptr) slope = p.alibi_slopes[vectors.head(vector)];
  }

  __device__ __forceinline__ float rounded_bias(int position) const {
    return round_to<bfloat16>(round_to<bfloat16>(slope) * round_to<bfloat16>(static_cast<float>(position)));
  }

  /// Of q.k with the key at `position`, in natural units.
  __device__ __forceinline__ float score(const PagedAttentionParams& p, float product, int position) const {
    if (position < begin || position >= end) return kMinusInfinity;
    float score = product * p.scale;
    if (p.softcap > 0.0f) score = p.softcap * tanh_of(score / p.softcap);
    if (p.alibi_slopes == nullptr) return score;
    if (p.alibi_in_bf16) return score + (rounded_bias(position) - rounded_bias(end - 1)) * p.scale;
    return score + slope * static_cast<float>(position - (end - 1));
  }
};

}  // namespace powerhouse::cuda
