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
    kv_head = static_cast<int>(blockIdx.x) % p.cache.kv_heads;
    group = p.heads / p.cache.kv_heads;
    first = static_cast<int>(blockIdx.x) / p.cache.kv_heads * plan.vectors();
    count = smaller(plan.vectors(), sequence.rows * group - first);
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
  __device__ __forceinline__ float modify(const PagedAttentionParams& p, const PagedPlan& plan, float score,
                                          int position) const {
    if (p.softcap > 0.0f) score = p.softcap * tanh_of(score * plan.per_softcap);
    if (p.alibi_slopes == nullptr) return score;
    if (p.alibi_in_bf16) return score + (rounded_bias(position) - rounded_bias(end - 1)) * p.scale;
    return score + slope * static_cast<float>(position - (end - 1));
  }
  __device__ __forceinline__ bool sees(int position) const { return position >= begin && position < end; }
};

/// Products q.k become scores in natural units, minus infinity where a key is not seen: of the keys at `position` and 8
/// further, of two vectors of each column.
template <int kColumns>
static __device__ __forceinline__ void score_vectors(const PagedAttentionParams& p, const PagedPlan& plan,
                                                     const ScoredVector* vectors, float (&scores)[kColumns][4],
                                                     int position) {
  const bool modified = p.softcap > 0.0f || p.alibi_slopes != nullptr;
#pragma unroll
  for (int n = 0; n < kColumns; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) scores[n][i] *= p.scale;
    if (modified) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        scores[n][i] = ScoredVector(vectors + n * 8 + i % 2).modify(p, plan, scores[n][i], position + i / 2 * 8);
      }
    }
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const ScoredVector vector(vectors + n * 8 + e);
      if (!vector.sees(position)) scores[n][e] = kMinusInfinity;
      if (!vector.sees(position + 8)) scores[n][e + 2] = kMinusInfinity;
    }
  }
}

}  // namespace powerhouse::cuda
