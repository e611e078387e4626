// dequantize: weights a second from the blocks of a file to bf16 and float32, 64 MiB of results, one thread.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "kernels/reference/dequantize.h"

namespace {

using powerhouse::BlockFormat;
using powerhouse::Element;

/// Arguments: block format, element type.
void dequantize(benchmark::State& state) {
  const auto format = static_cast<BlockFormat>(state.range(0));
  const auto type = static_cast<Element>(state.range(1));
  const powerhouse::BlockInfo info = powerhouse::block_info(format);
  const std::int64_t elements = (64 << 20) / powerhouse::element_bytes(type);
  const std::int64_t blocks = elements / info.block_elements;
  std::vector<std::uint8_t> source(static_cast<std::size_t>(blocks * info.block_bytes));
  for (std::size_t i = 0; i < source.size(); ++i) source[i] = static_cast<std::uint8_t>(i * 31 % 61);
  std::vector<std::uint8_t> out(64 << 20);
  for (auto _ : state) {
    powerhouse::cpu::kernels().dequantize(
        {.format = format, .type = type, .source = source.data(), .destination = out.data()}, 0, blocks);
    benchmark::ClobberMemory();
  }
  state.SetLabel(info.name);
  state.counters["weights"] =
      benchmark::Counter(static_cast<double>(elements), benchmark::Counter::kIsIterationInvariantRate);
}

void formats(benchmark::internal::Benchmark* bench) {
  for (const Element type : {Element::bf16, Element::f32}) {
    for (int format = 0; format < powerhouse::kBlockFormatCount; ++format) {
      const auto block = static_cast<BlockFormat>(format);
      const bool blocks = powerhouse::block_info(block).block_elements > 1;
      if (blocks && powerhouse::can_dequantize(block)) bench->Args({format, static_cast<std::int64_t>(type)});
    }
  }
}
BENCHMARK(dequantize)->Apply(formats)->Unit(benchmark::kMillisecond);

}  // namespace
