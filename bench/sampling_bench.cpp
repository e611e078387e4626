// What choosing a token costs, by vocabulary: of temperature, top_k, top_p and min_p `plain` is one pass after the
// other and `row` what generation does; `chain` is everything else, each alone and all together, behind 500 tokens of
// text.
#include <benchmark/benchmark.h>

#include <cmath>
#include <vector>

#include "generation/row_sampler.h"
#include "generation/sampler.h"
#include "generation/sampling_chain.h"
#include "generation/warpers.h"

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
struct Named {
  const char* name;
  GenerationOptions options;
};

struct Rule {
  const char* name;
  void (*set)(GenerationOptions&);
};

constexpr Rule kRules[] = {
    {"repetition_penalty", [](GenerationOptions& options) { options.repetition_penalty = 1.1f; }},
    {"frequency_penalty, presence_penalty",
     [](GenerationOptions& options) {
       options.sampling.frequency_penalty = 0.1f;
       options.sampling.presence_penalty = 0.1f;
     }},
    {"dry_multiplier",
     [](GenerationOptions& options) {
       options.sampling.dry_multiplier = 0.8f;
       options.sampling.dry_penalty_last_n = -1;
     }},
    {"no_repeat_ngram_size", [](GenerationOptions& options) { options.sampling.no_repeat_ngram_size = 4; }},
    {"logit_bias",
     [](GenerationOptions& options) {
       options.sampling.logit_bias = {{.id = 17, .bias = 1}, {.id = 400, .bias = -2}};
     }},
    {"sequence_bias",
     [](GenerationOptions& options) {
       options.sampling.sequence_bias = {{.ids = {3, 4}, .bias = 1}};
     }},
    {"bad_words_ids",
     [](GenerationOptions& options) {
       options.sampling.bad_words_ids = {{7, 8, 9}, {1000}};
     }},
    {"suppress_tokens, begin_suppress_tokens",
     [](GenerationOptions& options) {
       options.sampling.suppress_tokens = {5, 6};
       options.sampling.begin_suppress_tokens = {9};
     }},
    {"min_length, min_new_tokens",
     [](GenerationOptions& options) {
       options.sampling.min_length = 10;
       options.sampling.min_new_tokens = 1000;
     }},
    {"exponential_decay_length_penalty",
     [](GenerationOptions& options) {
       options.sampling.exponential_decay_length_penalty = LengthDecay{.start = 1, .factor = 1.01f};
     }},
};

// What only makes sense instead of others is left out: Mirostat, forced tokens, selfhash.
void add_rules(GenerationOptions& options) {
  for (const Rule& rule : kRules) rule.set(options);
  options.sampling.watermark = WatermarkOptions{};
}

void add_truncation(GenerationOptions& options) {
  options.temperature = 0.8f;
  options.top_k = 50;
  options.top_p = 0.95f;
  options.min_p = 0.01f;
  SamplingOptions& sampling = options.sampling;
  sampling.dynatemp_range = 0.2f;
  sampling.top_n_sigma = 3;
  sampling.top_h = 0.95f;
  sampling.typical_p = 0.98f;
  sampling.epsilon_cutoff = 1e-4f;
  sampling.eta_cutoff = 1e-4f;
  sampling.xtc_probability = 0.5f;
}

std::vector<Named> chains() {
  std::vector<Named> all(2, {"all, hf", {}});
  add_rules(all[0].options);
  add_truncation(all[0].options);
  all[1] = all[0];
  all[1].name = "all, llama.cpp";
  all[1].options.sampling.order = SamplerOrder::llama_cpp;
  const auto add = [&](const char* name, auto change) {
    GenerationOptions options{.temperature = 0.8f};
    change(options);
    all.push_back({name, options});
  };
  add("rules alone", [](GenerationOptions& options) {
    add_rules(options);
    options.sampling.watermark.reset();
  });
  add("temperature", [](GenerationOptions&) {});
  for (const Rule& rule : kRules) add(rule.name, rule.set);
  add("epsilon_cutoff", [](GenerationOptions& options) { options.sampling.epsilon_cutoff = 1e-3f; });
  add("llama.cpp's defaults", [](GenerationOptions& options) { options = llama_cpp_options(); });
  add("dynatemp", [](GenerationOptions& options) { options.sampling.dynatemp_range = 0.2f; });
  add("top_n_sigma", [](GenerationOptions& options) { options.sampling.top_n_sigma = 1; });
  add("top_h", [](GenerationOptions& options) { options.sampling.top_h = 0.9f; });
  add("typical_p", [](GenerationOptions& options) { options.sampling.typical_p = 0.9f; });
  add("eta_cutoff", [](GenerationOptions& options) { options.sampling.eta_cutoff = 1e-3f; });
  add("xtc", [](GenerationOptions& options) { options.sampling.xtc_probability = 1; });
  add("mirostat 1", [](GenerationOptions& options) { options.sampling.mirostat = 1; });
  add("mirostat 2", [](GenerationOptions& options) { options.sampling.mirostat = 2; });
  add("lefthash", [](GenerationOptions& options) { options.sampling.watermark = WatermarkOptions{}; });
  add("selfhash", [](GenerationOptions& options) {
    options.sampling.watermark = WatermarkOptions{.seeding_scheme = WatermarkSeeding::selfhash};
  });
  return all;
}
const std::vector<Named> kChains = chains();

void chain(benchmark::State& state) {
  const auto logits = logits_of(state.range(0));
  const Named& named = kChains[static_cast<std::size_t>(state.range(1))];
  SamplingChain sampling(named.options, {.vocab_size = state.range(0), .eos_ids = {2}, .limit = 1000});
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < 500; ++i) ids.push_back(i * i % 97);
  std::vector<float> row(logits.size());
  std::uint64_t seed = 0;
  for (auto _ : state) {
    row.assign(logits.begin(), logits.end());
    benchmark::DoNotOptimize(sampling.choose(row, {.ids = ids, .prompt_length = 400, .seed = seed++}));
  }
  state.SetLabel(named.name);
}

// Guidance adds a pass over two rows (and one of the model).
void guidance(benchmark::State& state) {
  const auto logits = logits_of(state.range(0));
  std::vector<float> row(logits.size());
  for (auto _ : state) {
    row.assign(logits.begin(), logits.end());
    processors::guide(row, logits, 1.5f);
    benchmark::DoNotOptimize(row.data());
  }
}

void chain_sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgsProduct({{49'152}, benchmark::CreateDenseRange(0, static_cast<std::int64_t>(chains().size()) - 1, 1)})
      ->ArgNames({"vocabulary", "options"})
      ->Unit(benchmark::kMicrosecond)
      ->MinTime(0.1);
}
BENCHMARK(chain)->Apply(chain_sizes);
BENCHMARK(guidance)->Arg(49'152)->Unit(benchmark::kMicrosecond)->MinTime(0.1);
BENCHMARK(plain)->Apply(sizes);
BENCHMARK(row)->Apply(sizes);

}  // namespace

BENCHMARK_MAIN();
