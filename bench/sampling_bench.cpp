// What choosing a token costs, by vocabulary: `plain` is the chain of processors, `row` what generation does.
#include <benchmark/benchmark.h>

#include <cmath>
#include <vector>

#include "generation/processors.h"
#include "generation/row_sampler.h"
#include "generation/sampler.h"

namespace {

using namespace powerhouse;

// Like a model's: a bell of 2.5 and a few hundred tokens that stand out.
std::vector<float> logits_of(std::int64_t vocabulary) {
  const Random random(1, RandomStream::data);
  std::vector<float> logits;
  for (std::int64_t i = 0; i < vocabulary; ++i) {
    const auto at = static_cast<std::uint64_t>(2 * i);
    const double radius = std::sqrt(-2 * std::log(random.uniform(at) + 0x1.0p-54));
    const double rare = i % 499 == 0 ? 4 + 9 * random.uniform(at + 1) : 0;
    logits.push_back(static_cast<float>(2.5 * radius * std::cos(6.2831853 * random.uniform(at + 1)) + rare));
  }
  return logits;
}

const GenerationOptions kOptions[] = {
    {.temperature = 0.0f},
    {.temperature = 0.7f},
    {.temperature = 0.7f, .top_k = 50},
    {.temperature = 0.7f, .top_p = 0.9f},
    {.temperature = 0.7f, .min_p = 0.05f},
    {.temperature = 0.7f, .top_k = 50, .top_p = 0.9f},
    {.temperature = 0.7f, .top_k = 50, .top_p = 0.9f, .min_p = 0.05f},
};
constexpr const char* kNames[] = {"greedy", "temperature", "top_k", "top_p", "min_p", "top_k_top_p", "all"};

// The copy of the row is part of both: the model would have written it.
template <typename Choose>
void choose(benchmark::State& state, Choose choose_token) {
  const auto logits = logits_of(state.range(0));
  const GenerationOptions& options = kOptions[state.range(1)];
  const Random random(1, RandomStream::sampling);
  std::vector<float> row(logits.size());
  std::uint64_t counter = 0;
  for (auto _ : state) {
    row.assign(logits.begin(), logits.end());
    if (options.temperature == 0.0f) {
      benchmark::DoNotOptimize(greedy_token(row));
    } else {
      benchmark::DoNotOptimize(choose_token(row, options, random, counter++));
    }
  }
  state.SetLabel(kNames[state.range(1)]);
}

void plain(benchmark::State& state) {
  choose(state, [](auto& row, const auto& options, const Random& random, std::uint64_t counter) {
    apply_warpers(row, options);
    return sample_token(row, random, counter);
  });
}

void row(benchmark::State& state) {
  choose(state, [](auto& row, const auto& options, const Random& random, std::uint64_t counter) {
    return sample_row(row, options, random, counter);
  });
}

void sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgsProduct({{32'000, 49'152, 152'064, 256'000}, {0, 1, 2, 3, 4, 5, 6}})
      ->ArgNames({"vocabulary", "options"})
      ->Unit(benchmark::kMicrosecond)
      ->MinTime(0.1);
}
BENCHMARK(plain)->Apply(sizes);
BENCHMARK(row)->Apply(sizes);

}  // namespace

BENCHMARK_MAIN();
