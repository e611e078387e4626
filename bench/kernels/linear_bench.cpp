// linear at decode against the bound: a plain sum over the same bytes. Weights are larger than any cache in the first
// shapes (a vocabulary head) and cycle through 64 MiB of copies in the rest, as layers of a model do.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/cpu/kernels.h"

namespace {

using powerhouse::Element;
using powerhouse::cpu::LinearParams;

constexpr std::int64_t kWorkingSet = 64 << 20;

struct Line {
  alignas(64) std::uint8_t bytes[64];
};

/// On cache lines, as tensors of a model lie.
std::vector<Line> ones(std::int64_t count, Element type) {
  std::vector<Line> lines(count * powerhouse::element_bytes(type) / 64 + 1);
  for (std::int64_t i = 0; i < count; ++i) powerhouse::write_element(lines.data(), type, i, 1.0f);
  return lines;
}

/// Reads every byte once and does next to nothing with it: what memory allows one thread.
void read_only_sum(benchmark::State& state) {
  const auto lines = ones(kWorkingSet / 4, Element::f32);
  for (auto _ : state) {
    typedef std::uint64_t Lanes __attribute__((vector_size(64)));
    Lanes sums[4] = {};
    for (std::size_t i = 0; i + 4 <= lines.size(); i += 4) {
      for (int j = 0; j < 4; ++j) {
        Lanes line;
        std::memcpy(&line, &lines[i + j], sizeof line);
        sums[j] += line;
      }
    }
    benchmark::DoNotOptimize(sums);
  }
  state.SetBytesProcessed(state.iterations() * kWorkingSet);
}
BENCHMARK(read_only_sum)->Unit(benchmark::kMicrosecond);

/// Arguments: element type, rows, inputs, outputs.
void linear(benchmark::State& state) {
  const auto type = static_cast<Element>(state.range(0));
  const std::int64_t rows = state.range(1);
  const std::int64_t inputs = state.range(2);
  const std::int64_t outputs = state.range(3);
  const std::int64_t weight_bytes = inputs * outputs * powerhouse::element_bytes(type);
  const std::int64_t copies = weight_bytes >= kWorkingSet ? 1 : kWorkingSet / weight_bytes;
  const auto weight = ones(inputs * outputs * copies, type);
  const auto x = ones(rows * inputs, type);
  std::vector<float> y(rows * outputs);
  LinearParams params{.type = type,
                      .y_type = Element::f32,
                      .x = x.data(),
                      .y = y.data(),
                      .rows = rows,
                      .inputs = inputs,
                      .x_stride = inputs,
                      .weight_stride = inputs,
                      .y_stride = outputs};
  const auto& kernels = powerhouse::cpu::kernels();
  for (auto _ : state) {
    for (std::int64_t copy = 0; copy < copies; ++copy) {
      params.weight = reinterpret_cast<const std::uint8_t*>(weight.data()) + copy * weight_bytes;
      kernels.linear(params, 0, outputs);
    }
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * copies * weight_bytes);
  state.counters["flops"] = benchmark::Counter(static_cast<double>(2 * rows * inputs * outputs * copies),
                                               benchmark::Counter::kIsIterationInvariantRate);
}

void shapes(benchmark::internal::Benchmark* bench) {
  constexpr std::int64_t kTypes[] = {static_cast<std::int64_t>(Element::f32), static_cast<std::int64_t>(Element::bf16),
                                     static_cast<std::int64_t>(Element::f16)};
  for (const std::int64_t type : kTypes) {
    for (const std::int64_t rows : {1, 2, 4, 8, 32}) bench->Args({type, rows, 576, 49152});
    for (const std::int64_t rows : {1, 4, 8, 32}) bench->Args({type, rows, 2048, 2048});
    bench->Args({type, 1, 576, 1536});
    bench->Args({type, 1, 1536, 576});
  }
  bench->ArgNames({"type", "rows", "inputs", "outputs"})->Unit(benchmark::kMicrosecond);
}
BENCHMARK(linear)->Apply(shapes);

}  // namespace
