// attention of one decode step over a paged cache: bytes are those of K and V, read once.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

#include "kernels/cpu/kernels.h"

namespace {

using powerhouse::Element;
using powerhouse::cpu::AttentionParams;
using powerhouse::cpu::AttentionRow;

/// Arguments: cache element type, key-value heads, group, head_dim, length.
void attention(benchmark::State& state) {
  const auto type = static_cast<Element>(state.range(0));
  const std::int64_t kv_heads = state.range(1);
  const std::int64_t group = state.range(2);
  const std::int64_t head_dim = state.range(3);
  const std::int64_t length = state.range(4);
  constexpr std::int64_t kPageTokens = 16;
  const std::int64_t pages = (length + kPageTokens - 1) / kPageTokens;
  const std::int64_t page_bytes = kPageTokens * kv_heads * head_dim * powerhouse::element_bytes(type);
  std::vector<std::uint8_t> cache(2 * pages * page_bytes);
  for (std::int64_t i = 0; i < 2 * pages * kPageTokens * kv_heads * head_dim; ++i) {
    powerhouse::write_element(cache.data(), type, i, static_cast<float>(i % 17) * 0.01f);
  }
  std::vector<const void*> keys(pages);
  std::vector<const void*> values(pages);
  for (std::int64_t page = 0; page < pages; ++page) {
    keys[page] = cache.data() + 2 * page * page_bytes;
    values[page] = cache.data() + (2 * page + 1) * page_bytes;
  }
  std::vector<std::uint8_t> q(kv_heads * group * head_dim * powerhouse::element_bytes(type));
  std::vector<std::uint8_t> out(q.size());
  const AttentionRow row{
      .q = q.data(), .out = out.data(), .key_pages = keys.data(), .value_pages = values.data(), .end = length};
  const AttentionParams params{{.type = type,
                                .cache_type = type,
                                .num_kv_heads = kv_heads,
                                .group = group,
                                .head_dim = head_dim,
                                .page_tokens = kPageTokens,
                                .token_stride = kv_heads * head_dim,
                                .kv_head_stride = head_dim,
                                .q_head_stride = head_dim,
                                .out_head_stride = head_dim,
                                .scale = 0.125f},
                               &row};
  std::vector<float> scratch(powerhouse::cpu::attention_scratch_floats(group, head_dim));
  const auto& kernels = powerhouse::cpu::kernels();
  for (auto _ : state) {
    kernels.attention(params, 0, kv_heads, scratch.data());
    benchmark::ClobberMemory();
  }
  const std::int64_t elements = length * kv_heads * head_dim;
  state.SetBytesProcessed(state.iterations() * 2 * elements * powerhouse::element_bytes(type));
  state.counters["flops"] =
      benchmark::Counter(static_cast<double>(4 * group * elements), benchmark::Counter::kIsIterationInvariantRate);
}

void shapes(benchmark::internal::Benchmark* bench) {
  for (const auto type : {Element::f32, Element::bf16}) {
    for (const std::int64_t length : {128, 1024, 8192}) {
      bench->Args({static_cast<std::int64_t>(type), 3, 3, 64, length});
      bench->Args({static_cast<std::int64_t>(type), 8, 4, 128, length});
    }
  }
  bench->ArgNames({"type", "kv_heads", "group", "head_dim", "length"})->Unit(benchmark::kMicrosecond);
}
BENCHMARK(attention)->Apply(shapes);

}  // namespace
