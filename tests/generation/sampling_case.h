// Cases of tests/oracles/sampling_hf.py and sampling_llama.py: rows of logits, options, and what a peer leaves.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "json_numbers.h"
#include "powerhouse/generation.h"
#include "support/json.h"

namespace powerhouse::testing {

inline Json sampling_fixture(const std::string& name) {
  return Json::parse_file(std::string(POWERHOUSE_FIXTURES) + "/generation/" + name);
}

/// The formula of tests/oracles/sampling_rows.py.
inline std::vector<float> seeded_row(std::int64_t count, std::int64_t seed) {
  const auto mixed = [](std::uint64_t x) {
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
  };
  std::vector<float> row;
  for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(count); ++i) {
    const std::uint64_t bits = mixed(static_cast<std::uint64_t>(seed) << 32 | i);
    const std::uint64_t bell = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
    const std::uint64_t rare = mixed(bits);
    const double high = rare % 499 == 0 ? static_cast<double>(4 * 8192 + (rare >> 40 & 0xffff)) / 8192 : 0;
    row.push_back(static_cast<float>((static_cast<double>(bell) - 131070) / 16384 + high));
  }
  return row;
}

inline std::vector<float> row_of(const Json& row) {
  if (row.is_object()) return seeded_row(row.at("size").as_integer(), row.at("seed").as_integer());
  std::vector<float> values;
  for (const Json& value : row.as_array()) {
    values.push_back(value.is_null() ? -std::numeric_limits<float>::infinity() : static_cast<float>(value.as_double()));
  }
  return values;
}

/// A case's options; what it does not name is off.
inline GenerationOptions options_of(const Json& given) {
  const auto real = [&](const char* name, double otherwise) {
    return static_cast<float>(given.double_or(name, otherwise));
  };
  GenerationOptions options{.max_new_tokens = 6,
                            .temperature = real("temperature", 1),
                            .top_k = given.integer_or("top_k", 0),
                            .top_p = real("top_p", 1),
                            .min_p = real("min_p", 0),
                            .repetition_penalty = real("repetition_penalty", 1)};
  SamplingOptions& sampling = options.sampling;
  sampling.dynatemp_range = real("dynatemp_range", 0);
  sampling.dynatemp_exponent = real("dynatemp_exponent", 1);
  sampling.typical_p = real("typical_p", 1);
  sampling.epsilon_cutoff = real("epsilon_cutoff", 0);
  sampling.eta_cutoff = real("eta_cutoff", 0);
  sampling.top_h = real("top_h", 0);
  sampling.top_n_sigma = real("top_n_sigma", 0);
  sampling.xtc_probability = real("xtc_probability", 0);
  sampling.xtc_threshold = real("xtc_threshold", 0.1);
  sampling.mirostat = given.integer_or("mirostat", 0);
  sampling.mirostat_tau = real("mirostat_tau", 5);
  sampling.mirostat_eta = real("mirostat_eta", 0.1);
  sampling.frequency_penalty = real("frequency_penalty", 0);
  sampling.presence_penalty = real("presence_penalty", 0);
  sampling.penalty_last_n = given.integer_or("penalty_last_n", sampling.penalty_last_n);
  sampling.dry_multiplier = real("dry_multiplier", 0);
  sampling.dry_base = real("dry_base", 1.75);
  sampling.dry_allowed_length = given.integer_or("dry_allowed_length", 2);
  sampling.dry_penalty_last_n = given.integer_or("dry_penalty_last_n", 64);
  sampling.no_repeat_ngram_size = given.integer_or("no_repeat_ngram_size", 0);
  sampling.min_length = given.integer_or("min_length", 0);
  sampling.min_new_tokens = given.integer_or("min_new_tokens", 0);
  sampling.guidance_scale = real("guidance_scale", 1);
  if (const Json* order = given.get("order")) {
    for (const Json& name : order->as_array()) sampling.samplers.push_back(name.as_string());
  }
  if (const Json* list = given.get("logit_bias")) {
    for (const Json& pair : list->as_array()) {
      const Json& bias = pair.as_array()[1];
      sampling.logit_bias.push_back(
          {.id = pair.as_array()[0].as_integer(),
           .bias = bias.is_null() ? -std::numeric_limits<float>::infinity() : static_cast<float>(bias.as_double())});
    }
  }
  if (const Json* list = given.get("sequence_bias")) {
    for (const Json& pair : list->as_array()) {
      sampling.sequence_bias.push_back(
          {.ids = integers(pair.as_array()[0]), .bias = static_cast<float>(pair.as_array()[1].as_double())});
    }
  }
  if (const Json* list = given.get("bad_words_ids")) {
    for (const Json& word : list->as_array()) sampling.bad_words_ids.push_back(integers(word));
  }
  if (const Json* list = given.get("suppress_tokens")) sampling.suppress_tokens = integers(*list);
  if (const Json* list = given.get("begin_suppress_tokens")) sampling.begin_suppress_tokens = integers(*list);
  if (const Json* list = given.get("forced_eos_token_id")) sampling.forced_eos_token_id = integers(*list);
  if (const Json* id = given.get("forced_bos_token_id")) sampling.forced_bos_token_id = id->as_integer();
  if (const Json* decay = given.get("exponential_decay_length_penalty")) {
    sampling.exponential_decay_length_penalty = {.start = decay->as_array()[0].as_integer(),
                                                 .factor = static_cast<float>(decay->as_array()[1].as_double())};
  }
  if (const Json* mark = given.get("watermark")) {
    const WatermarkOptions otherwise;
    sampling.watermark = {.greenlist_ratio = mark->double_or("greenlist_ratio", otherwise.greenlist_ratio),
                          .bias = static_cast<float>(mark->double_or("bias", otherwise.bias)),
                          .hashing_key = mark->integer_or("hashing_key", otherwise.hashing_key),
                          .seeding_scheme = parse_watermark_seeding(mark->string_or("seeding_scheme", "lefthash")),
                          .context_width = mark->integer_or("context_width", otherwise.context_width)};
  }
  return options;
}

struct Distribution {
  std::vector<std::int64_t> ids{};  // of what has a probability
  std::vector<double> probabilities{};
};

inline Distribution distribution_of(std::span<const float> logits) {
  float best = -std::numeric_limits<float>::infinity();
  for (const float logit : logits) best = std::max(best, logit);
  Distribution found;
  double total = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double weight = std::exp(double{logits[i]} - best);
    if (!(weight > 0)) continue;
    total += weight;
    found.ids.push_back(static_cast<std::int64_t>(i));
    found.probabilities.push_back(weight);
  }
  for (double& one : found.probabilities) one /= total;
  return found;
}

/// The same tokens as the peer's, and probabilities within 1e-6.
inline void expect_distribution(std::span<const float> logits, const Json& expected, const std::string& what) {
  const Distribution found = distribution_of(logits);
  const std::int64_t step = expected.integer_or("every", 1);
  if (const Json* count = expected.get("count")) {
    std::int64_t sum = 0, squares = 0;
    for (const std::int64_t id : found.ids) {
      sum += id;
      squares += id * id;
    }
    EXPECT_EQ(std::ssize(found.ids), count->as_integer()) << what;
    EXPECT_EQ(sum, expected.at("sum").as_integer()) << what;
    EXPECT_EQ(squares, expected.at("squares").as_integer()) << what;
  }
  std::vector<std::int64_t> ids;
  std::vector<double> probabilities;
  for (std::size_t i = 0; i < found.ids.size(); i += static_cast<std::size_t>(step)) {
    ids.push_back(found.ids[i]);
    probabilities.push_back(found.probabilities[i]);
  }
  ASSERT_EQ(ids, integers(expected.at("ids"))) << what;
  const Json::Array& peers = expected.at("probabilities").as_array();
  for (std::size_t i = 0; i < peers.size(); ++i) {
    ASSERT_NEAR(probabilities[i], peers[i].as_double(), 1e-6) << what << ", token " << ids[i];
  }
}

}  // namespace powerhouse::testing
