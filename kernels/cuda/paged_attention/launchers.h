// The launchers of kernels over a paged cache (paged_attention_params.h): queued on the stream, they return at once.
// Inputs are trusted: callers check sizes, strides and alignment. False, and nothing is queued, for what has no kernel.
#pragma once

#include "kernels/cuda/paged_attention_params.h"
#include "kernels/cuda/stream.h"

namespace powerhouse::cuda {

inline constexpr std::int64_t kMostGridRows = 65535;  // of a grid's second and third dimension

inline constexpr bool is_paged_type(BlockFormat type) {
  return type == BlockFormat::f32 || type == BlockFormat::bf16 || type == BlockFormat::f16 ||
         type == BlockFormat::q8_0 || type == BlockFormat::q4_0;
}
inline constexpr bool has_blocks(BlockFormat type) { return type == BlockFormat::q8_0 || type == BlockFormat::q4_0; }

/// The cache's type that holds elements of this one.
inline constexpr BlockFormat format_of(Element type) {
  return type == Element::f32 ? BlockFormat::f32 : type == Element::bf16 ? BlockFormat::bf16 : BlockFormat::f16;
}

inline bool paged_cache_fits(const PagedCache& cache) {
  return is_paged_type(cache.type) && cache.head_dim >= 8 && cache.head_dim <= 256 &&
         cache.head_dim % (has_blocks(cache.type) ? 32 : 8) == 0 && cache.sequences <= kMostGridRows;
}

/// Any number of rows; above kMostPagedRows the cache is read more than once.
inline bool paged_attention_fits(const PagedAttentionParams& p) {
  const std::int64_t vectors = static_cast<std::int64_t>(p.cache.rows) * p.heads;
  return paged_cache_fits(p.cache) && vectors <= kMostGridRows &&
         (p.type == Element::f32 || has_blocks(p.cache.type) || p.cache.type == format_of(p.type));
}

bool paged_attention(const PagedAttentionParams& params, Stream stream);
bool paged_write(const PagedWriteParams& params, Stream stream);
bool paged_gather(const PagedGatherParams& params, Stream stream);
bool page_copy(const PageCopyParams& params, Stream stream);

/// By the type of queries: each is a file of its own.
void paged_attention_two_bytes(const PagedAttentionParams& params, Stream stream);
void paged_attention_f32(const PagedAttentionParams& params, Stream stream);

}  // namespace powerhouse::cuda
