// What the tests of both attention kernels share: a paged cache, and the extras that a shape may have.
#pragma once

#include <algorithm>
#include <cmath>
#include <ostream>
#include <random>
#include <vector>

#include "kernels/cpu_kernels.h"
#include "kernels/reference/cache.h"

namespace powerhouse::testing {

/// Of keys and of values: each type for both, and pairs of what is read as it lies and what is not.
struct CacheTypes {
  BlockFormat keys, values;
};
inline constexpr CacheTypes kCacheTypes[] = {
    {BlockFormat::f32, BlockFormat::f32},   {BlockFormat::bf16, BlockFormat::bf16},
    {BlockFormat::f16, BlockFormat::f16},   {BlockFormat::q8_0, BlockFormat::q8_0},
    {BlockFormat::q4_0, BlockFormat::q4_0}, {BlockFormat::q5_1, BlockFormat::iq4_nl},
    {BlockFormat::q8_0, BlockFormat::q4_1}, {BlockFormat::q5_0, BlockFormat::f16},
    {BlockFormat::bf16, BlockFormat::q4_0}, {BlockFormat::iq4_nl, BlockFormat::q5_0},
};
inline bool has_blocks(const CacheTypes& types) {
  return block_info(types.keys).block_elements > 1 || block_info(types.values).block_elements > 1;
}

/// The cache of elements that need no rounding.
inline BlockFormat cache_of(Element type) {
  return type == Element::f32 ? BlockFormat::f32 : type == Element::bf16 ? BlockFormat::bf16 : BlockFormat::f16;
}

struct Shape {
  Element type = Element::f32;
  BlockFormat key_type = BlockFormat::f32;
  BlockFormat value_type = BlockFormat::f32;
  std::int64_t kv_heads = 2, group = 3, head_dim = 20, page_tokens = 16, tokens = 140;
};

/// A cache whose pages lie in a shuffled pool, two layers a page, aligned no better than a cell or a block.
struct Cache {
  Cache(const Shape& cache_shape, const Buffer& k, const Buffer& v, std::mt19937& engine) : shape(cache_shape) {
    const std::int64_t pages = (shape.tokens + shape.page_tokens - 1) / shape.page_tokens;
    layer = shape.page_tokens * shape.kv_heads * shape.head_dim;
    std::vector<std::int64_t> order(2 * pages);
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int64_t>(i);
    std::shuffle(order.begin(), order.end(), engine);
    // Every cell is NaN at first: 0xFFFF in f16 and bf16, and so in the scales of blocks.
    const std::int64_t key_bytes = cpu::cache_bytes(shape.key_type, layer);
    const std::int64_t value_bytes = cpu::cache_bytes(shape.value_type, layer);
    const bool wide = shape.key_type == BlockFormat::f32 || shape.value_type == BlockFormat::f32;
    const std::int64_t shift = wide ? 4 : 2;
    pool.assign(order.size(), std::vector<std::uint8_t>(2 * std::max(key_bytes, value_bytes) + shift, 0xFF));
    for (std::int64_t page = 0; page < pages; ++page) {
      for (const bool value : {false, true}) {
        std::uint8_t* const base = pool[order[2 * page + (value ? 1 : 0)]].data() + shift;
        (value ? value_pages : key_pages).push_back(base);
        const Buffer& from = value ? v : k;
        const std::int64_t begin = page * layer;
        const std::int64_t count = std::min(layer, from.size() - begin);
        reference::store_cache({.source_type = from.type(),
                                .cache_type = value ? shape.value_type : shape.key_type,
                                .source = static_cast<const char*>(from.data()) + begin * element_bytes(from.type()),
                                .destination = base + (value ? value_bytes : key_bytes)},
                               0, count);
      }
    }
  }
  cpu::AttentionShape kernel_shape() const {
    return {.type = shape.type,
            .key_type = shape.key_type,
            .value_type = shape.value_type,
            .num_kv_heads = shape.kv_heads,
            .group = shape.group,
            .head_dim = shape.head_dim,
            .page_tokens = shape.page_tokens,
            .page_offset = layer,
            .token_stride = shape.kv_heads * shape.head_dim,
            .kv_head_stride = shape.head_dim,
            .q_head_stride = shape.head_dim + 1,
            .out_head_stride = shape.head_dim + 2,
            .scale = 4.5f / std::sqrt(static_cast<float>(shape.head_dim))};
  }
  cpu::AttentionParams params(const cpu::AttentionRow* rows) const { return {kernel_shape(), rows}; }
  cpu::AttentionRow row(const Buffer& q, Buffer& out, std::int64_t begin, std::int64_t end) const {
    return {.q = q.data(),
            .out = out.data(),
            .key_pages = key_pages.data(),
            .value_pages = value_pages.data(),
            .begin = begin,
            .end = end,
            .position = end - 1};
  }

  Shape shape;
  std::int64_t layer = 0;
  std::vector<std::vector<std::uint8_t>> pool;
  std::vector<const void*> key_pages, value_pages;
};

/// ALiBi's slopes and sinks for a number of heads, and softcap: what a shape may have beside its scale.
struct Extras {
  float softcap = 0;
  bool alibi = false, alibi_in_bf16 = false, sinks = false;

  /// Points the shape to the slopes and sinks here.
  void apply(cpu::AttentionShape& shape) {
    slopes_.clear();
    sinks_.clear();
    for (std::int64_t head = 0; head < shape.num_kv_heads * shape.group; ++head) {
      slopes_.push_back(std::exp2(-0.7f * static_cast<float>(head)));
      sinks_.push_back(head % 3 == 0 ? 5.0f : 0.5f * static_cast<float>(head % 5) - 2.0f);
    }
    shape.softcap = softcap;
    shape.alibi_slopes = alibi ? slopes_.data() : nullptr;
    shape.alibi_in_bf16 = alibi_in_bf16;
    shape.sinks = sinks ? sinks_.data() : nullptr;
  }

  std::vector<float> slopes_{}, sinks_{};
};

/// One without any, and one with each.
inline std::vector<Extras> all_extras() {
  return {{}, {.softcap = 1.5f}, {.alibi = true}, {.alibi = true, .alibi_in_bf16 = true}, {.sinks = true}};
}

inline std::ostream& operator<<(std::ostream& stream, const Extras& extras) {
  return stream << "softcap " << extras.softcap << " alibi " << extras.alibi << extras.alibi_in_bf16 << " sinks "
                << extras.sinks;
}

}  // namespace powerhouse::testing
