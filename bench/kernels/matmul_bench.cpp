// Products of training at the shapes of SmolLM2-135M, 2,048 rows, all items by one thread. Gradients of inputs have B
// turned the other way.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "values.h"

namespace {

using powerhouse::Element;
namespace cpu = powerhouse::cpu;

void matmul(benchmark::State& state) {
  constexpr std::int64_t kRows = 2048;
  const std::int64_t columns = state.range(0), depth = state.range(1);
  const bool turned = state.range(2) != 0;
  const auto a = values_of(kRows * depth, Element::bf16);
  const auto b = values_of(columns * depth, Element::bf16);
  auto y = values_of(kRows * columns, Element::bf16);
  std::vector<float> room(cpu::kMatmulScratchFloats + 16);
  float* scratch = room.data();
  while (reinterpret_cast<std::uintptr_t>(scratch) % 64 != 0) ++scratch;
  const cpu::MatmulTerm term{.a = {a.data(), depth, 1},
                             .b = turned ? cpu::MatmulSide{b.data(), 1, columns} : cpu::MatmulSide{b.data(), depth, 1},
                             .depth = depth};
  const cpu::MatmulParams params{.terms = &term,
                                 .term_count = 1,
                                 .y = y.data(),
                                 .rows = kRows,
                                 .columns = columns,
                                 .y_stride = columns,
                                 .row_block = 128,
                                 .column_block = 288};
  if (cpu::kernels().matmul == nullptr) return state.SkipWithError("this table leaves products to a library");
  const std::int64_t items = kRows / params.row_block * ((columns + params.column_block - 1) / params.column_block);
  for (auto _ : state) {
    cpu::MatmulRoom thread{.scratch = scratch};
    for (std::int64_t item = 0; item < items; ++item) cpu::kernels().matmul(params, item, thread);
    benchmark::ClobberMemory();
  }
  state.counters["GFLOP/s"] = benchmark::Counter(2e-9 * static_cast<double>(kRows * columns * depth),
                                                 benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(matmul)
    ->Args({576, 576, 0})
    ->Args({576, 576, 1})
    ->Args({1536, 576, 0})
    ->Args({1536, 576, 1})
    ->Args({576, 1536, 0})
    ->Args({576, 1536, 1})
    ->ArgNames({"columns", "depth", "turned"});

}  // namespace
