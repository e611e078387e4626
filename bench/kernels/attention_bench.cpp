// attention over a paged cache: one decode step, whose bytes are those of K and V, read once; and a prompt.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

#include "kernels/cpu/kernels.h"

namespace {

using powerhouse::Element;
using powerhouse::cpu::AttentionParams;
using powerhouse::cpu::AttentionRow;
using powerhouse::cpu::AttentionShape;
using powerhouse::cpu::PrefillParams;

constexpr std::int64_t kPageTokens = 16;

/// One sequence's cache, and the shape that kernels are told. Arguments: element type, key-value heads, group,
/// head_dim, length.
struct Cache {
  explicit Cache(const benchmark::State& state) : length(state.range(4)) {
    const auto type = static_cast<Element>(state.range(0));
    shape.type = type;
    shape.key_type = shape.value_type = type == Element::f32    ? powerhouse::BlockFormat::f32
                                        : type == Element::bf16 ? powerhouse::BlockFormat::bf16
                                                                : powerhouse::BlockFormat::f16;
    shape.num_kv_heads = state.range(1);
    shape.group = state.range(2);
    shape.head_dim = state.range(3);
    shape.page_tokens = kPageTokens;
    shape.token_stride = shape.num_kv_heads * shape.head_dim;
    shape.kv_head_stride = shape.head_dim;
    shape.q_head_stride = shape.head_dim;
    shape.out_head_stride = shape.head_dim;
    shape.scale = 0.125f;
    const std::int64_t count = (length + kPageTokens - 1) / kPageTokens;
    const std::int64_t page = kPageTokens * shape.token_stride;
    bytes.resize(2 * count * page * powerhouse::element_bytes(type));
    for (std::int64_t i = 0; i < 2 * count * page; ++i) {
      powerhouse::write_element(bytes.data(), type, i, static_cast<float>(i % 17) * 0.01f);
    }
    for (std::int64_t i = 0; i < 2 * count; ++i) {
      (i % 2 == 0 ? keys : values).push_back(bytes.data() + i * page * powerhouse::element_bytes(type));
    }
  }
  std::int64_t row_elements() const { return shape.num_kv_heads * shape.group * shape.head_dim; }

  AttentionShape shape;
  std::int64_t length;
  std::vector<std::uint8_t> bytes;
  std::vector<const void*> keys, values;
};

void attention(benchmark::State& state) {
  const Cache cache(state);
  std::vector<std::uint8_t> q(cache.row_elements() * powerhouse::element_bytes(cache.shape.type));
  std::vector<std::uint8_t> out(q.size());
  const AttentionRow row{.q = q.data(),
                         .out = out.data(),
                         .key_pages = cache.keys.data(),
                         .value_pages = cache.values.data(),
                         .end = cache.length};
  const AttentionParams params{cache.shape, &row};
  std::vector<float> scratch(powerhouse::cpu::attention_scratch_floats(cache.shape.group, cache.shape.head_dim));
  const auto& kernels = powerhouse::cpu::kernels();
  for (auto _ : state) {
    kernels.attention(params, 0, cache.shape.num_kv_heads, scratch.data());
    benchmark::ClobberMemory();
  }
  const std::int64_t elements = cache.length * cache.shape.token_stride;
  state.SetBytesProcessed(state.iterations() * 2 * elements * powerhouse::element_bytes(cache.shape.type));
  state.counters["flops"] = benchmark::Counter(static_cast<double>(4 * cache.shape.group * elements),
                                               benchmark::Counter::kIsIterationInvariantRate);
}

/// A whole prompt; flops are those of the causal half.
void prefill(benchmark::State& state) {
  const Cache cache(state);
  PrefillParams params{cache.shape};
  std::vector<std::uint8_t> q(cache.length * cache.row_elements() * powerhouse::element_bytes(cache.shape.type));
  for (std::int64_t i = 0; i < cache.length * cache.row_elements(); ++i) {
    powerhouse::write_element(q.data(), cache.shape.type, i, static_cast<float>(i % 13) * 0.1f - 0.6f);
  }
  std::vector<std::uint8_t> out(q.size());
  params.q = q.data();
  params.out = out.data();
  params.key_pages = cache.keys.data();
  params.value_pages = cache.values.data();
  params.rows = cache.length;
  params.length = cache.length;
  params.q_row_stride = cache.row_elements();
  params.out_row_stride = cache.row_elements();
  std::vector<float> scratch(powerhouse::cpu::prefill_scratch_floats(params.group, params.head_dim));
  const auto& kernels = powerhouse::cpu::kernels();
  for (auto _ : state) {
    kernels.prefill_attention(params, 0, powerhouse::cpu::prefill_items(params), scratch.data());
    benchmark::ClobberMemory();
  }
  state.counters["flops"] =
      benchmark::Counter(static_cast<double>(2 * cache.length * cache.length * cache.row_elements()),
                         benchmark::Counter::kIsIterationInvariantRate);
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

void prompts(benchmark::internal::Benchmark* bench) {
  for (const auto type : {Element::f32, Element::bf16}) {
    for (const std::int64_t length : {128, 1024}) {
      bench->Args({static_cast<std::int64_t>(type), 3, 3, 64, length});
      bench->Args({static_cast<std::int64_t>(type), 2, 4, 128, length});
    }
  }
  bench->ArgNames({"type", "kv_heads", "group", "head_dim", "length"})->Unit(benchmark::kMicrosecond);
}
BENCHMARK(prefill)->Apply(prompts);

}  // namespace
