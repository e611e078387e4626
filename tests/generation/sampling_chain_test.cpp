// The chain leaves what transformers and llama.cpp leave (tests/oracles/sampling_hf.py, sampling_llama.py), and draws
// from just that.
#include "generation/sampling_chain.h"

#include <gtest/gtest.h>

#include <map>

#include "expect_error.h"
#include "model/fixture.h"
#include "sampling_case.h"

namespace powerhouse {
namespace {

using namespace testing;

TEST(SamplingChain, LeavesWhatTransformersLeaves) {
  const Json cases = sampling_fixture("sampling_hf.json");
  ASSERT_GT(cases.as_array().size(), 200u);
  for (const Json& item : cases.as_array()) {
    std::vector<float> row = row_of(item.at("row"));
    const GenerationOptions options = options_of(item.at("options"));
    SamplingChain chain(options, {.vocab_size = std::ssize(row), .eos_ids = {2}, .limit = options.max_new_tokens});
    if (const Json* seed = item.get("negative_seed")) {
      processors::guide(row, seeded_row(std::ssize(row), seed->as_integer()), options.sampling.guidance_scale);
    }
    std::vector<std::int64_t> ids = integers(item.at("prompt"));
    const std::int64_t prompt_length = std::ssize(ids);
    for (const std::int64_t id : integers(item.at("new"))) ids.push_back(id);
    chain.process(row, {.ids = ids, .prompt_length = prompt_length});
    expect_distribution(row, item.at("expected"),
                        item.at("options").dump() + " of " + std::to_string(row.size()) + " tokens behind " +
                            item.at("prompt").dump() + item.at("new").dump());
  }
}

void expect_llama_cpp(const Json& cases, const Tokenizer* tokenizer) {
  for (const Json& item : cases.as_array()) {
    const std::vector<float> row = row_of(item.at("row"));
    GenerationOptions options = options_of(item.at("options"));
    options.sampling.order = SamplerOrder::llama_cpp;
    if (item.at("options").get("penalty_last_n") == nullptr) options.sampling.penalty_last_n = 64;
    SamplingChain chain(options, {.vocab_size = std::ssize(row), .tokenizer = tokenizer});
    std::vector<std::int64_t> ids = integers(item.at("seen"));
    const std::int64_t prompt_length = std::ssize(ids);
    for (const Json& expected : item.at("expected").as_array()) {
      std::vector<float> left = row;
      chain.process(left, {.ids = ids, .prompt_length = prompt_length});
      expect_distribution(left, expected,
                          item.at("options").dump() + " of " + std::to_string(row.size()) + " tokens, step " +
                              std::to_string(std::ssize(ids) - prompt_length));
      ids.push_back(expected.at("chosen").as_integer());  // Mirostat learns from it
    }
  }
}

TEST(SamplingChain, LeavesWhatLlamaCppLeaves) {
  const Json cases = sampling_fixture("sampling_llama.json");
  ASSERT_GT(cases.as_array().size(), 150u);
  expect_llama_cpp(cases, nullptr);
}

TEST(SamplingChain, FindsDryBreakersAsLlamaCppDoes) {
  POWERHOUSE_NEEDS_REAL_MODEL();
  const Tokenizer tokenizer = Tokenizer::from_pretrained(real_model());
  expect_llama_cpp(sampling_fixture("sampling_llama_dry.json"), &tokenizer);
}

// Of ties at a cut llama.cpp keeps some, transformers all.
TEST(SamplingChain, CutsTiesInLlamaCppsOrder) {
  const std::vector<float> row = {1, 3, 3, 3, 0, 3};
  for (const bool llama_cpp : {false, true}) {
    GenerationOptions options{.temperature = 1.0f, .top_k = 2};
    options.sampling.typical_p = 0.999f;
    if (llama_cpp) options.sampling.order = SamplerOrder::llama_cpp;
    std::vector<float> left = row;
    SamplingChain(options, {.vocab_size = 6}).process(left, {});
    const auto expected = llama_cpp ? std::vector<std::int64_t>{1, 2} : std::vector<std::int64_t>{1, 2, 3, 5};
    EXPECT_EQ(distribution_of(left).ids, expected);
  }
}

TEST(SamplingChain, XtcRunsAsOftenAsItShould) {
  const std::vector<float> row = {2, 2.5, 0};
  int without = 0;
  for (std::uint64_t seed = 0; seed < 4000; ++seed) {
    std::vector<float> left = row;
    processors::Xtc{.probability = 0.3f, .threshold = 0.2f}(left, {.seed = seed});
    without += std::isinf(left[1]) ? 1 : 0;
    EXPECT_FALSE(std::isinf(left[0]) || std::isinf(left[2]));
  }
  EXPECT_NEAR(without / 4000.0, 0.3, 0.03);  // four deviations
}

// The largest chi-squared of so many degrees of freedom in a thousand draws (Wilson and Hilferty 1931).
double chi_squared_bound(double freedom) {
  const double part = 2 / (9 * freedom);
  return freedom * std::pow(1 - part + 3.09 * std::sqrt(part), 3);
}

TEST(SamplingChain, DrawsFromWhatItLeaves) {
  std::vector<GenerationOptions> all(4, GenerationOptions{.temperature = 0.9f});
  all[0].sampling.typical_p = 0.9f;
  all[1] = llama_cpp_options();
  all[1].sampling.dry_multiplier = 0.8f;
  all[1].sampling.presence_penalty = 0.4f;
  all[2].top_k = 30;
  all[2].sampling.eta_cutoff = 0.002f;
  all[2].sampling.watermark = WatermarkOptions{};
  all[3].temperature = 1.5f;
  all[3].sampling.logit_bias = {{.id = 3, .bias = 9.0f}};  // from the whole row
  const std::vector<std::int64_t> prompt = {5, 6, 7, 5, 6};
  for (const GenerationOptions& options : all) {
    const std::vector<float> row = seeded_row(options.temperature > 1 ? 60 : 2000, 21);
    SamplingChain chain(options, {.vocab_size = std::ssize(row)});
    std::vector<float> left = row;
    chain.process(left, {.ids = prompt, .prompt_length = 5});
    const Distribution expected = distribution_of(left);
    constexpr int kDraws = 100'000;
    std::map<std::int64_t, int> counts;
    for (std::uint64_t seed = 0; seed < kDraws; ++seed) {
      std::vector<float> logits = row;
      ++counts[chain.choose(logits, {.ids = prompt, .prompt_length = 5, .seed = seed})];
    }
    double chi_squared = 0;
    double rest = kDraws;  // those too rare for the test together
    double rest_counted = kDraws;
    double freedom = 0;
    for (std::size_t i = 0; i < expected.ids.size(); ++i) {
      const double mean = kDraws * expected.probabilities[i];
      if (mean < 10) continue;
      const double difference = counts[expected.ids[i]] - mean;
      chi_squared += difference * difference / mean;
      rest -= mean;
      rest_counted -= counts[expected.ids[i]];
      ++freedom;
    }
    if (rest >= 10) {
      chi_squared += (rest_counted - rest) * (rest_counted - rest) / rest;
      ++freedom;
    }
    for (const auto& [id, count] : counts) {
      EXPECT_TRUE(std::find(expected.ids.begin(), expected.ids.end(), id) != expected.ids.end()) << id << ' ' << count;
    }
    EXPECT_LT(chi_squared, chi_squared_bound(freedom - 1)) << expected.ids.size() << " tokens";
    EXPECT_GT(freedom, 5);
  }
}

TEST(SamplingChain, KeepsItsStateToItself) {
  GenerationOptions options{.temperature = 1.0f};
  options.sampling.mirostat = 2;
  const std::vector<float> row = seeded_row(2000, 4);
  const SamplingChain fresh(options, {.vocab_size = 2000});
  const auto draw = [&](SamplingChain chain, std::uint64_t seed) {
    std::vector<std::int64_t> ids;
    for (int step = 0; step < 12; ++step) {
      std::vector<float> logits = row;
      ids.push_back(chain.choose(logits, {.ids = ids, .seed = seed}));
    }
    return ids;
  };
  const auto first = draw(fresh, 1);
  EXPECT_NE(draw(fresh, 2), first);
  EXPECT_EQ(draw(fresh, 1), first);
}

TEST(SamplingChain, NamesWhatIsWrong) {
  const auto build = [](const GenerationOptions& options) { SamplingChain(options, {.vocab_size = 10}); };
  GenerationOptions options{.temperature = 1.0f};
  options.sampling.samplers = {"top_k", "tpo_p"};
  expect_error(ErrorKind::usage, "tpo_p", [&] { build(options); });
  options.sampling = {.bad_words_ids = {{3, 10}}};
  expect_error(ErrorKind::range, "bad_words_ids", [&] { build(options); });
  options.sampling = {.logit_bias = {{.id = -1, .bias = 1}}};
  expect_error(ErrorKind::range, "logit_bias", [&] { build(options); });
  options.sampling = {.suppress_tokens = {0, 1}};
  std::vector<float> row = {1, 2};
  expect_error(ErrorKind::numeric, "forbidden", [&] { SamplingChain(options, {.vocab_size = 2}).choose(row, {}); });
  options.sampling = {};
  options.processors = {[](std::span<float> logits, const LogitsContext&) { logits[1] = NAN; }};
  row = {1, 2};
  expect_error(ErrorKind::numeric, "logits[1]", [&] { SamplingChain(options, {.vocab_size = 2}).choose(row, {}); });
}

}  // namespace
}  // namespace powerhouse
