// packed_linear against the bound of linear_bench.cpp's read_only_sum: random panels, 64 MiB of them in turn.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "kernels/reference/packed.h"

namespace {

using powerhouse::BlockFormat;

constexpr std::int64_t kWorkingSet = 64 << 20;

/// Arguments: format, rows, inputs, outputs.
void packed_linear(benchmark::State& state) {
  const auto format = static_cast<BlockFormat>(state.range(0));
  const std::int64_t rows = state.range(1);
  const std::int64_t inputs = state.range(2);
  const std::int64_t outputs = state.range(3);
  const powerhouse::PackedLayout& layout = *powerhouse::packed_layout(format);
  const std::int64_t bytes = powerhouse::panel_count(outputs) * powerhouse::panel_bytes(layout, inputs);
  const std::int64_t copies = bytes >= kWorkingSet ? 1 : kWorkingSet / bytes;
  const std::unique_ptr<std::uint8_t, void (*)(void*)> panels(
      static_cast<std::uint8_t*>(std::aligned_alloc(64, static_cast<std::size_t>((bytes * copies + 63) / 64 * 64))),
      std::free);
  for (std::int64_t i = 0; i < bytes * copies; ++i) panels.get()[i] = static_cast<std::uint8_t>(i * 7 % 31);
  std::vector<std::int16_t> codes(static_cast<std::size_t>(rows * inputs), 3);
  std::vector<float> scales(codes.size() / 32, 1.0f);
  std::vector<std::int32_t> sums(codes.size() / 16, 48);
  std::vector<float> y(static_cast<std::size_t>(rows * outputs));
  powerhouse::cpu::PackedLinearParams params{.layout = &layout,
                                             .x = {codes.data(), scales.data(), scales.data(), sums.data(), inputs},
                                             .y = y.data(),
                                             .rows = rows,
                                             .inputs = inputs,
                                             .outputs = outputs,
                                             .y_stride = outputs};
  std::int64_t copy = 0;
  for (auto _ : state) {
    params.panels = panels.get() + copy * bytes;
    powerhouse::cpu::kernels().packed_linear(params, 0, powerhouse::panel_count(outputs));
    copy = (copy + 1) % copies;
    benchmark::DoNotOptimize(y.data());
  }
  state.SetBytesProcessed(state.iterations() * bytes);
  state.counters["flops"] = benchmark::Counter(2.0 * static_cast<double>(rows * inputs * outputs),
                                               benchmark::Counter::kIsIterationInvariantRate);
  state.SetLabel(powerhouse::block_info(format).name);
}

void shapes(benchmark::internal::Benchmark* benchmark) {
  for (const BlockFormat format :
       {BlockFormat::q4_0, BlockFormat::q4_1, BlockFormat::q5_0, BlockFormat::q8_0, BlockFormat::q4_k,
        BlockFormat::q6_k, BlockFormat::iq4_xs, BlockFormat::affine4_32, BlockFormat::affine4_64,
        BlockFormat::affine4_128, BlockFormat::affine6_128, BlockFormat::affine8_128}) {
    for (const std::int64_t rows : {1, 4, 9, 512}) {
      benchmark->Args({static_cast<std::int64_t>(format), rows, 2048, 2048});
    }
  }
}
BENCHMARK(packed_linear)->Apply(shapes)->Unit(benchmark::kMicrosecond);

}  // namespace
