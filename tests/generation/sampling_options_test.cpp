// Processors against transformers' own (tests/oracles/processors.py), and options out of bounds.
#include "generation/option_bounds.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "expect_error.h"
#include "generation/sampling_chain.h"
#include "json_numbers.h"
#include "support/json.h"

namespace powerhouse {
namespace {

TEST(Processors, LeaveWhatTransformersLeaves) {
  const Json cases = Json::parse_file(std::string(POWERHOUSE_FIXTURES) + "/generation/processors.json");
  ASSERT_EQ(cases.as_array().size(), 36u);
  for (const Json& item : cases.as_array()) {
    std::vector<float> logits;
    for (const Json& value : item.at("logits").as_array()) logits.push_back(static_cast<float>(value.as_double()));
    const std::vector<std::int64_t> ids = testing::integers(item.at("ids"));
    const Json& given = item.at("options");
    const GenerationOptions options{
        .temperature = static_cast<float>(given.double_or("temperature", 1.0)),
        .top_k = given.integer_or("top_k", 0),
        .top_p = static_cast<float>(given.double_or("top_p", 1.0)),
        .min_p = static_cast<float>(given.double_or("min_p", 0.0)),
        .repetition_penalty = static_cast<float>(given.double_or("repetition_penalty", 1.0)),
    };
    SamplingChain(options, {.vocab_size = std::ssize(logits)}).process(logits, {.ids = ids});
    const Json::Array& expected = item.at("expected").as_array();
    for (std::size_t i = 0; i < logits.size(); ++i) {
      if (expected[i].is_null()) {
        ASSERT_TRUE(std::isinf(logits[i])) << given.dump() << ", token " << i << " should be forbidden";
      } else {
        ASSERT_NEAR(logits[i], expected[i].as_double(), 1e-5) << given.dump() << ", token " << i;
      }
    }
  }
}

TEST(Processors, RunTheUsersOwnBetweenPenaltyAndTemperature) {
  std::vector<float> logits = {2.0f, 4.0f};
  const std::vector<std::int64_t> ids = {1};
  GenerationOptions options{.temperature = 2.0f, .repetition_penalty = 2.0f};
  options.processors.push_back([](std::span<float> row, const LogitsContext& context) {
    EXPECT_EQ(row[1], 2.0f);
    EXPECT_EQ(context.ids.size(), 1u);
    row[0] = 10.0f;
  });
  SamplingChain(options, {.vocab_size = 2}).process(logits, {.ids = ids});
  EXPECT_EQ(logits, (std::vector<float>{5.0f, 1.0f}));
}

TEST(Options, OutOfBoundsAreNamed) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  const auto expect = [](std::string_view field, const GenerationOptions& options) {
    testing::expect_error(ErrorKind::usage, field, [&] { check_options(options); });
  };
  for (const float bad : {-0.1f, nan, infinity}) expect("temperature", {.temperature = bad});
  for (const float bad : {0.0f, -1.0f, 1.1f, nan}) expect("top_p", {.top_p = bad});
  for (const float bad : {-0.1f, 1.1f, nan}) expect("min_p", {.min_p = bad});
  for (const float bad : {0.0f, -1.0f, nan, infinity}) expect("repetition_penalty", {.repetition_penalty = bad});
  expect("top_k", {.top_k = -1});
  expect("max_new_tokens", {.max_new_tokens = -1});
  expect("stop", {.stop = {""}});
  for (const char* bad : {"(", "a*", ""}) expect("stop_regex", {.stop_regex = {bad}});
  expect("max_time", {.max_time = 0.0});
  expect("max_time", {.max_time = std::nan("")});
  expect("thinking", {.thinking = ThinkingOptions{.start = ""}});
  expect("thinking", {.thinking = ThinkingOptions{.end = ""}});
  expect("thinking.budget", {.thinking = ThinkingOptions{.budget = -1}});
  expect("top_log_probs", {.top_log_probs = -1});
  EXPECT_NO_THROW(check_options({}));
  EXPECT_NO_THROW(check_options(llama_cpp_options()));
}

TEST(Options, OfSamplingOutOfBoundsAreNamed) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  const auto expect = [](std::string_view field, const SamplingOptions& sampling) {
    testing::expect_error(ErrorKind::usage, field, [&] { check_options({.sampling = sampling}); });
  };
  for (const float bad : {-0.1f, nan, infinity}) {
    expect("dynatemp_range", {.dynatemp_range = bad});
    expect("dynatemp_exponent", {.dynatemp_exponent = bad});
    expect("epsilon_cutoff", {.epsilon_cutoff = bad});
    expect("eta_cutoff", {.eta_cutoff = bad});
    expect("top_h", {.top_h = bad});
    expect("top_n_sigma", {.top_n_sigma = bad});
    expect("xtc_probability", {.xtc_probability = bad});
    expect("xtc_threshold", {.xtc_threshold = bad});
    expect("mirostat_tau", {.mirostat_tau = bad});
    expect("mirostat_eta", {.mirostat_eta = bad});
    expect("dry_multiplier", {.dry_multiplier = bad});
    expect("exponential_decay_length_penalty", {.exponential_decay_length_penalty = LengthDecay{.factor = bad}});
  }
  for (const float bad : {0.0f, 1.1f, nan}) expect("typical_p", {.typical_p = bad});
  for (const float bad : {nan, infinity}) {
    expect("frequency_penalty", {.frequency_penalty = bad});
    expect("presence_penalty", {.presence_penalty = bad});
    expect("logit_bias", {.logit_bias = {{.id = 1, .bias = bad}}});
    expect("sequence_bias", {.sequence_bias = {{.ids = {1}, .bias = bad}}});
    expect("guidance_scale", {.guidance_scale = bad});
    expect("bias", {.watermark = WatermarkOptions{.bias = bad}});
  }
  expect("mirostat", {.mirostat = 3});
  expect("mirostat", {.typical_p = 0.5f, .mirostat = 2});  // two ways to cut
  expect("mirostat", {.mirostat = 2});                     // at temperature 0 nothing is sampled
  EXPECT_NO_THROW(check_options({.temperature = 1, .sampling = {.mirostat = 2}}));
  // As llama.cpp's programs: temperature 0 leaves one token for it.
  EXPECT_NO_THROW(check_options({.sampling = {.order = SamplerOrder::llama_cpp, .mirostat = 2}}));
  EXPECT_NO_THROW(check_options({.sampling = {.samplers = {"temperature"}, .mirostat = 2}}));
  expect("penalty_last_n", {.penalty_last_n = -2});
  expect("dry_base", {.dry_base = 0.9f});
  expect("dry_allowed_length", {.dry_allowed_length = -1});
  expect("dry_penalty_last_n", {.dry_penalty_last_n = -2});
  expect("dry_sequence_breakers", {.dry_sequence_breakers = {""}});
  expect("no_repeat_ngram_size", {.no_repeat_ngram_size = -1});
  expect("sequence_bias", {.sequence_bias = {{}}});
  expect("sequence_bias", {.sequence_bias = {{.ids = {1, 2}}, {.ids = {1, 2}}}});
  expect("bad_words_ids", {.bad_words_ids = {{}}});
  expect("min_length", {.min_length = -1});
  expect("min_new_tokens", {.min_new_tokens = -1});
  expect("negative_prompt_ids", {.negative_prompt_ids = {1}});
  expect("greenlist_ratio", {.watermark = WatermarkOptions{.greenlist_ratio = 0}});
}

}  // namespace
}  // namespace powerhouse
