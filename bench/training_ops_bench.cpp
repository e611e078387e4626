// The differentiable ops of a training step at the sizes of SmolLM2-135M, batch 4 x 512 in bf16, forward and backward:
// `training_ops_bench --benchmark_filter=...`. OMP_NUM_THREADS sets the threads.
#include <benchmark/benchmark.h>

#include <vector>

#include "ops/activation.h"
#include "ops/adapted_linear.h"
#include "ops/linear_cross_entropy.h"
#include "ops/norm.h"
#include "ops/rope.h"
#include "ops/tensors.h"

namespace {

using namespace powerhouse;

constexpr std::int64_t kRows = 2048, kHidden = 576, kIntermediate = 1536, kVocabulary = 49152;

at::Tensor values(at::IntArrayRef sizes, at::ScalarType type = at::kBFloat16) {
  at::Tensor x = empty_tensor(sizes, at::kFloat);
  for (std::int64_t i = 0; i < x.numel(); ++i)
    x.data_ptr<float>()[i] = static_cast<float>(i * 7919 % 1013) * 1e-3f - 0.5f;
  return x.to(type);
}

at::Tensor leaf(at::IntArrayRef sizes, at::ScalarType type = at::kBFloat16) {
  return values(sizes, type).requires_grad_(true);
}

void count_flops(benchmark::State& state, double products) {
  state.counters["flops"] = benchmark::Counter(products, benchmark::Counter::kIsIterationInvariantRate);
}

/// The two products (three with the gradient of the head) without anything else: what the op is measured against.
void head_products(benchmark::State& state) {
  const at::Tensor hidden = values({kRows, kHidden});
  const at::Tensor head = values({kVocabulary, kHidden});
  const at::Tensor logits = empty_tensor({kRows, kVocabulary}, at::kBFloat16);
  for (auto _ : state) {
    logits.addmm_(hidden, head.t(), 0, 1);
    benchmark::DoNotOptimize(logits.mm(head));
    if (state.range(0) != 0) benchmark::DoNotOptimize(logits.t().mm(hidden));
  }
  count_flops(state, (state.range(0) != 0 ? 6.0 : 4.0) * kRows * kHidden * kVocabulary);
}
BENCHMARK(head_products)->DenseRange(0, 1)->ArgName("train_head")->Unit(benchmark::kMillisecond)->UseRealTime();

void linear_cross_entropy(benchmark::State& state) {
  const at::Tensor hidden = leaf({kRows, kHidden});
  at::Tensor head = values({kVocabulary, kHidden});
  if (state.range(0) != 0) head.requires_grad_(true);
  const at::Tensor targets = index_tensor(std::vector<std::int64_t>(kRows, 77));
  const at::Tensor weights = empty_tensor({kRows}, at::kFloat).fill_(1.0 / kRows);
  for (auto _ : state) {
    ops::linear_cross_entropy(hidden, {.matrix = head}, targets, weights, {.chunk_bytes = state.range(1) << 20})
        .loss.backward();
    hidden.mutable_grad() = at::Tensor();
    head.mutable_grad() = at::Tensor();
  }
  count_flops(state, (state.range(0) != 0 ? 6.0 : 4.0) * kRows * kHidden * kVocabulary);
}
BENCHMARK(linear_cross_entropy)
    ->ArgsProduct({{0, 1}, {8, 16, 32, 64, 128}})
    ->ArgNames({"train_head", "MiB"})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

template <typename Op>
void forward_and_backward(benchmark::State& state, std::vector<at::Tensor> leaves, Op op) {
  const at::Tensor dy = values(op().sizes());
  for (auto _ : state) {
    op().backward(dy);
    for (at::Tensor& x : leaves) x.mutable_grad() = at::Tensor();
  }
}

void norm(benchmark::State& state) {
  const at::Tensor x = leaf({kRows, kHidden});
  const at::Tensor weight = state.range(0) != 0 ? leaf({kHidden}) : values({kHidden});
  forward_and_backward(state, {x, weight}, [&] { return ops::norm(x, {}, weight); });
  state.SetBytesProcessed(state.iterations() * 5 * kRows * kHidden * 2);
}
BENCHMARK(norm)->DenseRange(0, 1)->ArgName("train_weight")->Unit(benchmark::kMicrosecond)->UseRealTime();

void rope(benchmark::State& state) {
  const Rope choice{.rotary_dim = 64};
  ops::RopeTable table = ops::empty_rope_table(choice, kRows);
  std::vector<std::int64_t> positions(kRows);
  for (std::int64_t i = 0; i < kRows; ++i) positions[i] = i % 512;
  ops::fill_rope_table(table, 0, choice, ops::rope_frequencies(choice, 0), positions);
  const at::Tensor x = leaf({kRows, 9, 64});
  forward_and_backward(state, {x}, [&] { return ops::apply_rope(x, table, RopeLayout::half); });
  state.SetBytesProcessed(state.iterations() * 4 * kRows * kHidden * 2);
}
BENCHMARK(rope)->Unit(benchmark::kMicrosecond)->UseRealTime();

void swiglu(benchmark::State& state) {
  const at::Tensor gate = leaf({kRows, kIntermediate});
  const at::Tensor up = leaf({kRows, kIntermediate});
  forward_and_backward(state, {gate, up}, [&] { return ops::gated_activation(Activation::silu, gate, up); });
  state.SetBytesProcessed(state.iterations() * 8 * kRows * kIntermediate * 2);
}
BENCHMARK(swiglu)->Unit(benchmark::kMicrosecond)->UseRealTime();

/// rank 0: a frozen matrix without terms.
void adapted_linear(benchmark::State& state) {
  const at::Tensor x = leaf({kRows, kHidden});
  const at::Tensor weight = values({kIntermediate, kHidden});
  std::vector<at::Tensor> leaves = {x};
  std::vector<ops::LowRankTerm> terms;
  if (const std::int64_t rank = state.range(0); rank > 0) {
    terms.push_back({.a = leaf({rank, kHidden}, at::kFloat), .b = leaf({kIntermediate, rank}, at::kFloat), .scale = 2});
    terms[0].dropout.rate = static_cast<float>(state.range(1)) / 100.0f;
    leaves.insert(leaves.end(), {terms[0].a, terms[0].b});
  }
  forward_and_backward(state, leaves, [&] { return ops::adapted_linear(x, weight, {}, terms); });
  count_flops(state, 4.0 * kRows * kHidden * kIntermediate);
}
BENCHMARK(adapted_linear)
    ->Args({0, 0})
    ->Args({16, 0})
    ->Args({16, 5})
    ->ArgNames({"rank", "dropout"})
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
