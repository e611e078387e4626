// gemm at 512 rows on one core, against the products of the same shape that are nothing but arithmetic.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "kernels/reference/packed.h"

namespace {

using powerhouse::BlockFormat;
using powerhouse::Element;

/// Arguments: format (-1: plain bf16), inputs, outputs.
void gemm(benchmark::State& state) {
  const std::int64_t rows = 512;
  const std::int64_t inputs = state.range(1);
  const std::int64_t outputs = state.range(2);
  const powerhouse::cpu::CpuKernels& kernels = powerhouse::cpu::kernels();
  const powerhouse::PackedLayout* layout = nullptr;
  if (state.range(0) >= 0) layout = powerhouse::packed_layout(static_cast<BlockFormat>(state.range(0)));
  const std::int64_t bytes = layout != nullptr
                                 ? powerhouse::panel_count(outputs) * powerhouse::panel_bytes(*layout, inputs)
                                 : outputs * inputs * 2;
  std::vector<std::uint8_t> weight(static_cast<std::size_t>(bytes), 3);
  const std::int64_t stride = inputs + 32;
  std::vector<float> x(static_cast<std::size_t>(rows * stride));
  std::vector<float> y(static_cast<std::size_t>(rows * outputs));
  std::vector<float> scratch(static_cast<std::size_t>(powerhouse::cpu::kGemmScratchFloats));
  const powerhouse::cpu::GemmParams params{.x_type = kernels.gemm_type,
                                           .x = x.data(),
                                           .layout = layout,
                                           .weight = weight.data(),
                                           .weight_type = Element::bf16,
                                           .y = y.data(),
                                           .rows = rows,
                                           .inputs = inputs,
                                           .outputs = outputs,
                                           .x_stride = stride,
                                           .weight_stride = inputs,
                                           .y_stride = outputs};
  for (auto _ : state) {
    kernels.gemm(params, 0, powerhouse::panel_count(outputs), scratch.data());
    benchmark::DoNotOptimize(y.data());
  }
  state.counters["flops"] = benchmark::Counter(2.0 * static_cast<double>(rows * inputs * outputs),
                                               benchmark::Counter::kIsIterationInvariantRate);
  state.SetLabel(layout != nullptr ? powerhouse::block_info(layout->format).name : "bf16");
}

void shapes(benchmark::internal::Benchmark* benchmark) {
  for (const std::int64_t format :
       {std::int64_t{-1}, static_cast<std::int64_t>(BlockFormat::q4_0), static_cast<std::int64_t>(BlockFormat::q4_1),
        static_cast<std::int64_t>(BlockFormat::q8_0), static_cast<std::int64_t>(BlockFormat::q4_k),
        static_cast<std::int64_t>(BlockFormat::q6_k)}) {
    for (const auto& [inputs, outputs] : {std::pair{576, 1536}, {1536, 576}, {2048, 2048}, {8192, 2048}}) {
      if (format >= 0 && inputs % powerhouse::block_info(static_cast<BlockFormat>(format)).block_elements != 0)
        continue;
      benchmark->Args({format, inputs, outputs});
    }
  }
}
BENCHMARK(gemm)->Apply(shapes)->Unit(benchmark::kMicrosecond);

}  // namespace
