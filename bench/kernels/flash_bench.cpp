// Attention of training over packed documents: forward, and backward, on one thread. Flops are those of the causal
// half, as every row sees just what it may: 4 head_dim a query vector and key forward, 10 backward.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/cpu/kernels.h"

namespace {

using powerhouse::Element;
using powerhouse::cpu::FlashBackwardParams;
using powerhouse::cpu::FlashPart;

/// Four documents.
struct Documents {
  explicit Documents(const benchmark::State& state) {
    const std::int64_t length = state.range(4);
    const std::int64_t rows = 4 * length;
    params.type = static_cast<Element>(state.range(0));
    params.num_kv_heads = state.range(1);
    params.group = state.range(2);
    params.head_dim = state.range(3);
    params.scale = 1.0f / std::sqrt(static_cast<float>(params.head_dim));
    const std::int64_t kv_row = params.num_kv_heads * params.head_dim;
    const std::int64_t q_row = kv_row * params.group;
    params.q_row_stride = params.out_row_stride = params.dout_row_stride = q_row;
    params.k_row_stride = params.v_row_stride = kv_row;
    params.q_head_stride = params.k_head_stride = params.v_head_stride = params.head_dim;
    params.out_head_stride = params.dout_head_stride = params.head_dim;
    params.lse_head_stride = rows;
    params.q = array(rows * q_row);
    params.k = array(rows * kv_row);
    params.v = array(rows * kv_row);
    params.out = array(rows * q_row);
    params.dout = array(rows * q_row);
    params.dq = array(rows * q_row);
    params.dk = array(rows * kv_row);
    params.dv = array(rows * kv_row);
    statistics.resize(static_cast<std::size_t>(2 * rows * params.num_kv_heads * params.group));
    params.lse = statistics.data();
    params.delta = statistics.data() + statistics.size() / 2;
    for (std::int64_t i = 0; i < 4; ++i) parts.push_back({.first = i * length, .end = length});
    params.parts = parts.data();
    const std::int64_t floats = powerhouse::cpu::flash_backward_floats(params.group, params.head_dim, length);
    scratch.resize(static_cast<std::size_t>(floats));
    items = 4 * params.num_kv_heads;
    pairs = static_cast<double>(2 * length * (length + 1) * params.num_kv_heads * params.group * params.head_dim);
  }
  void* array(std::int64_t count) {
    std::vector<std::uint8_t>& bytes = arrays.emplace_back(count * powerhouse::element_bytes(params.type));
    for (std::int64_t i = 0; i < count; ++i) {
      powerhouse::write_element(bytes.data(), params.type, i, static_cast<float>(i * 37 % 101) * 0.02f - 1.0f);
    }
    return bytes.data();
  }

  FlashBackwardParams params;
  std::vector<std::vector<std::uint8_t>> arrays;
  std::vector<float> statistics, scratch;
  std::vector<FlashPart> parts;
  std::int64_t items = 0;
  double pairs = 0;  // of a query vector and a key that it sees, times head_dim
};

void flash_forward(benchmark::State& state) {
  Documents documents(state);
  for (auto _ : state) {
    powerhouse::cpu::kernels().flash_forward(documents.params, 0, documents.items, documents.scratch.data());
    benchmark::ClobberMemory();
  }
  state.counters["flops"] = benchmark::Counter(4 * documents.pairs, benchmark::Counter::kIsIterationInvariantRate);
}

void flash_backward(benchmark::State& state) {
  Documents documents(state);
  powerhouse::cpu::kernels().flash_forward(documents.params, 0, documents.items, documents.scratch.data());
  for (auto _ : state) {
    powerhouse::cpu::kernels().flash_backward(documents.params, 0, documents.items, documents.scratch.data());
    benchmark::ClobberMemory();
  }
  state.counters["flops"] = benchmark::Counter(10 * documents.pairs, benchmark::Counter::kIsIterationInvariantRate);
}

void shapes(benchmark::internal::Benchmark* bench) {
  for (const auto type : {Element::f32, Element::bf16}) {
    bench->Args({static_cast<std::int64_t>(type), 3, 3, 64, 512});
    bench->Args({static_cast<std::int64_t>(type), 12, 1, 64, 512});
    bench->Args({static_cast<std::int64_t>(type), 2, 4, 128, 512});
  }
  bench->ArgNames({"type", "kv_heads", "group", "head_dim", "length"})->Unit(benchmark::kMicrosecond);
}
BENCHMARK(flash_forward)->Apply(shapes);
BENCHMARK(flash_backward)->Apply(shapes);

}  // namespace
