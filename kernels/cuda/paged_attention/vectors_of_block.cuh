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

/// What the scores of a vector need; one that is absent sees nothing. It lies in shared memory, since the output leaves
/// no registers.
struct alignas(16) ScoredVector {
  int begin = 0, end = 0;
  float slope = 0.0f;

  __device__ __forceinline__ ScoredVector(const PagedAttentionParams& p, const PagedVectors& vectors, int vector) {
    if (vector >= vectors.count) return;
    const SeenPositions seen = vectors.seen(vector, p.window);
    begin = seen.begin;
    end = seen.end;
    if (p.alibi_slopes != nullptr) slope = p.alibi_slopes[vectors.head(vector)];
  }

  __device__ __forceinline__ explicit ScoredVector(const ScoredVector* kept) {
    const Words words = load_words(kept);
    begin = static_cast<int>(words.word[0]);
    end = static_cast<int>(words.word[1]);
    slope = as_float(words.word[2]);
  }
  __device__ __forceinline__ void keep(ScoredVector* at) const {
    store_words(at, {{static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end), as_bits(slope), 0}});
  }

  __device__ __forceinline__ float rounded_bias(int position) const {
    return round_to<bfloat16>(round_to<bfloat16>(slope) * round_to<bfloat16>(static_cast<float>(position)));
  }

  /// Softcap and ALiBi of a score with the key at `position`, scaled already.
  __device__ __forceinline__ float modify(const PagedAttentionParams& p, float score, int position) const {
    if (p.softcap > 0.0f) score = p.softcap * tanh_of(score / p.softcap);
    if (p.alibi_slopes == nullptr) return score;
    if (p.alibi_in_bf16) return score + (rounded_bias(position) - rounded_bias(end - 1)) * p.scale;
    return score + slope * static_cast<float>(position - (end - 1));
  }

  /// Products q.k become scores in natural units, minus infinity where a key is not seen: of row g or g + 8 of a
  /// fragment whose first column of this lane is the key at `position`.
  template <int kScoreColumns>
  __device__ __forceinline__ void score(const PagedAttentionParams& p, float (&scores)[kScoreColumns][4], int half,
                                        int position) const {
    const bool modified = p.softcap > 0.0f || p.alibi_slopes != nullptr;
#pragma unroll
    for (int n = 0; n < kScoreColumns; ++n) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        float& score = scores[n][half * 2 + e];
        const int at = position + n * 8 + e;
        score *= p.scale;
        if (modified) score = modify(p, score, at);
        if (at < begin || at >= end) score = kMinusInfinity;
      }
    }
  }
};

}  // namespace powerhouse::cuda
