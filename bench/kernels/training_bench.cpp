// What training adds to the small kernels, at the sizes of SmolLM2-135M.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "values.h"

namespace {

using powerhouse::Element;
namespace cpu = powerhouse::cpu;

/// Eight rows, each turned into its gradient; logits are copied in again each time, which the time holds.
void cross_entropy(benchmark::State& state) {
  constexpr std::int64_t kRows = 8, kVocabulary = 49152;
  const auto type = static_cast<Element>(state.range(0));
  const auto logits = values_of(kRows * kVocabulary, type);
  auto room = logits;
  const std::vector<std::int64_t> targets(kRows, 77);
  const std::vector<float> weights(kRows, 0.5f);
  std::vector<float> out(3 * kRows);
  std::vector<std::int64_t> arg_max(kRows);
  const cpu::CrossEntropyParams params{.type = type,
                                       .logits = room.data(),
                                       .vocabulary = kVocabulary,
                                       .stride = kVocabulary,
                                       .targets = targets.data(),
                                       .weights = state.range(1) != 0 ? weights.data() : nullptr,
                                       .loss = out.data(),
                                       .log_prob = out.data() + kRows,
                                       .entropy = out.data() + 2 * kRows,
                                       .arg_max = arg_max.data()};
  for (auto _ : state) {
    std::memcpy(room.data(), logits.data(), logits.size());
    cpu::kernels().cross_entropy(params, 0, kRows);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kRows * kVocabulary);
  state.SetBytesProcessed(state.iterations() * 2 * kRows * kVocabulary * powerhouse::element_bytes(type));
}
BENCHMARK(cross_entropy)->ArgsProduct({{0, 1}, {0, 1}})->ArgNames({"type", "gradient"});

void norm_gradient(benchmark::State& state) {
  constexpr std::int64_t kRows = cpu::kNormRows, kSize = 576;
  const auto type = static_cast<Element>(state.range(0));
  const auto x = values_of(kRows * kSize, type);
  const auto dy = values_of(kRows * kSize, type);
  const auto weight = values_of(kSize, type);
  auto dx = values_of(kRows * kSize, type);
  std::vector<float> dweight(kSize);
  const cpu::NormGradientParams params{.type = type,
                                       .x = x.data(),
                                       .dy = dy.data(),
                                       .weight = weight.data(),
                                       .dx = dx.data(),
                                       .dweight = state.range(1) != 0 ? dweight.data() : nullptr,
                                       .rows = kRows,
                                       .size = kSize,
                                       .x_stride = kSize,
                                       .dy_stride = kSize,
                                       .dx_stride = kSize};
  for (auto _ : state) {
    cpu::kernels().norm_gradient(params, 0, 1);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 3 * kRows * kSize * powerhouse::element_bytes(type));
}
BENCHMARK(norm_gradient)->ArgsProduct({{0, 1}, {0, 1}})->ArgNames({"type", "dweight"});

void activation_gradient(benchmark::State& state) {
  constexpr std::int64_t kCount = 8 * 1536;
  const auto type = static_cast<Element>(state.range(0));
  const auto gate = values_of(kCount, type);
  const auto up = values_of(kCount, type);
  const auto dy = values_of(kCount, type);
  auto dgate = values_of(kCount, type);
  auto dup = values_of(kCount, type);
  const cpu::ActivationGradientParams params{.type = type,
                                             .kind = static_cast<cpu::ActivationKind>(state.range(1)),
                                             .gate = gate.data(),
                                             .up = up.data(),
                                             .dy = dy.data(),
                                             .dgate = dgate.data(),
                                             .dup = dup.data(),
                                             .columns = kCount};
  for (auto _ : state) {
    cpu::kernels().activation_gradient(params, 0, kCount);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 5 * kCount * powerhouse::element_bytes(type));
}
BENCHMARK(activation_gradient)->ArgsProduct({{0, 1}, {0, 1, 2}})->ArgNames({"type", "kind"});

void dropout(benchmark::State& state) {
  constexpr std::int64_t kCount = 8 * 576;
  const auto type = static_cast<Element>(state.range(0));
  const auto x = values_of(kCount, type);
  auto y = values_of(kCount, type);
  const cpu::DropoutParams params{.type = type,
                                  .x = x.data(),
                                  .y = y.data(),
                                  .columns = 576,
                                  .x_stride = 576,
                                  .y_stride = 576,
                                  .threshold = 3277,
                                  .kept = 1.05f};
  for (auto _ : state) {
    cpu::kernels().dropout(params, 0, 8);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kCount);
  state.SetBytesProcessed(state.iterations() * 2 * kCount * powerhouse::element_bytes(type));
}
BENCHMARK(dropout)->DenseRange(0, 1)->ArgName("type");

}  // namespace
