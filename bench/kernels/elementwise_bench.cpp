// The small kernels at the sizes of a decode step, and the passes over a vocabulary row.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "values.h"

namespace {

using powerhouse::Element;
namespace cpu = powerhouse::cpu;

void rms_norm(benchmark::State& state) {
  const auto type = static_cast<Element>(state.range(0));
  const std::int64_t size = state.range(1);
  auto x = values_of(size, type);
  const auto weight = values_of(size, type);
  auto y = values_of(size, type);
  const cpu::RmsNormParams params{.type = type,
                                  .x = x.data(),
                                  .weight = weight.data(),
                                  .y = y.data(),
                                  .size = size,
                                  .x_stride = size,
                                  .y_stride = size};
  for (auto _ : state) {
    cpu::kernels().rms_norm(params, 0, 1);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 3 * size * powerhouse::element_bytes(type));
}
BENCHMARK(rms_norm)->ArgsProduct({{0, 1}, {576, 2048}})->ArgNames({"type", "size"});

void layer_norm(benchmark::State& state) {
  const auto type = static_cast<Element>(state.range(0));
  const std::int64_t size = state.range(1);
  const auto x = values_of(size, type);
  const auto weight = values_of(size, type);
  auto y = values_of(size, type);
  const cpu::LayerNormParams params{.type = type,
                                    .x = x.data(),
                                    .weight = weight.data(),
                                    .bias = weight.data(),
                                    .y = y.data(),
                                    .size = size,
                                    .x_stride = size,
                                    .y_stride = size};
  for (auto _ : state) {
    cpu::kernels().layer_norm(params, 0, 1);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 3 * size * powerhouse::element_bytes(type));
}
BENCHMARK(layer_norm)->ArgsProduct({{0, 1}, {576, 2048}})->ArgNames({"type", "size"});

/// 512 heads of 64 elements: queries of a short prompt.
void rms_norm_heads(benchmark::State& state) {
  const auto type = static_cast<Element>(state.range(0));
  auto x = values_of(512 * 64, type);
  const auto weight = values_of(64, type);
  const cpu::RmsNormParams params{.type = type,
                                  .x = x.data(),
                                  .weight = weight.data(),
                                  .y = x.data(),
                                  .size = 64,
                                  .x_stride = 512,
                                  .y_stride = 512,
                                  .heads = 8,
                                  .x_head_stride = 64,
                                  .y_head_stride = 64};
  for (auto _ : state) {
    cpu::kernels().rms_norm(params, 0, 512);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 2 * 512 * 64 * powerhouse::element_bytes(type));
}
BENCHMARK(rms_norm_heads)->DenseRange(0, 1)->ArgName("type");

void activation_mul(benchmark::State& state) {
  const auto type = static_cast<Element>(state.range(0));
  const std::int64_t size = 1536;
  const auto gate = values_of(size, type);
  const auto up = values_of(size, type);
  auto y = values_of(size, type);
  const cpu::ActivationParams params{.type = type,
                                     .kind = static_cast<cpu::ActivationKind>(state.range(1)),
                                     .gate = gate.data(),
                                     .up = up.data(),
                                     .y = y.data(),
                                     .columns = size};
  for (auto _ : state) {
    cpu::kernels().activation_mul(params, 0, size);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 3 * size * powerhouse::element_bytes(type));
}
BENCHMARK(activation_mul)->ArgsProduct({{0, 1}, {0, 1, 2, 3, 4, 5, 6, 7}})->ArgNames({"type", "kind"});

void convert_from_f32(benchmark::State& state) {
  const auto type = static_cast<Element>(state.range(0));
  const std::int64_t count = 4096;
  const auto source = values_of(count, Element::f32);
  auto destination = values_of(count, type);
  const cpu::ConvertParams params{.destination_type = type, .source = source.data(), .destination = destination.data()};
  for (auto _ : state) {
    cpu::kernels().convert(params, 0, count);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * count * (4 + powerhouse::element_bytes(type)));
}
BENCHMARK(convert_from_f32)->DenseRange(0, 2)->ArgName("type");

constexpr std::int64_t kVocabulary = 49152;

template <typename Op>
void vocabulary_pass(benchmark::State& state, Op op) {
  const auto bytes = values_of(kVocabulary, Element::f32);
  const auto* logits = reinterpret_cast<const float*>(bytes.data());
  for (auto _ : state) op(logits);
  state.SetBytesProcessed(state.iterations() * kVocabulary * 4);
}

void argmax(benchmark::State& state) {
  vocabulary_pass(state, [](const float* x) { benchmark::DoNotOptimize(cpu::kernels().argmax_f32(x, kVocabulary)); });
}
BENCHMARK(argmax);

void log_sum_exp(benchmark::State& state) {
  vocabulary_pass(state,
                  [](const float* x) { benchmark::DoNotOptimize(cpu::kernels().log_sum_exp_f32(x, kVocabulary)); });
}
BENCHMARK(log_sum_exp);

void softmax(benchmark::State& state) {
  std::vector<float> y(kVocabulary);
  vocabulary_pass(state, [&](const float* x) {
    cpu::kernels().softmax_f32(x, y.data(), kVocabulary);
    benchmark::ClobberMemory();
  });
}
BENCHMARK(softmax);

}  // namespace
