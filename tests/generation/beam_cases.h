// Cases of tests/oracles/beam_search.py and beam_variants.py: a prompt, options by transformers' names, hypotheses.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "json_numbers.h"
#include "powerhouse/beam_search.h"
#include "support/json.h"

namespace powerhouse::testing {

inline EarlyStopping to_early_stopping(const Json& options) {
  const Json* given = options.as_object().find("early_stopping");
  if (given == nullptr) return EarlyStopping::no;
  if (given->is_string()) return parse_early_stopping(given->as_string());
  return given->as_bool() ? EarlyStopping::yes : EarlyStopping::no;
}

inline BeamSearchOptions to_beam_options(const Json& given) {
  BeamSearchOptions options{
      .num_beams = given.integer_or("num_beams", 1),
      .num_return_sequences = given.integer_or("num_return_sequences", 1),
      .length_penalty = given.double_or("length_penalty", 1.0),
      .early_stopping = to_early_stopping(given),
      .num_beam_groups = given.integer_or("num_beam_groups", 1),
      .diversity_penalty = static_cast<float>(given.double_or("diversity_penalty", 0.0)),
      .generation = {.max_new_tokens = given.integer_or("max_new_tokens", 0),
                     .repetition_penalty = static_cast<float>(given.double_or("repetition_penalty", 1.0)),
                     .sampling = {.no_repeat_ngram_size = given.integer_or("no_repeat_ngram_size", 0)},
                     .eos_token_ids = integers(given.at("eos_token_id"))}};
  if (const Json* constraints = given.as_object().find("force_words_ids")) {
    for (const Json& alternatives : constraints->as_array()) {
      options.force_words_ids.emplace_back();
      for (const Json& phrase : alternatives.as_array()) options.force_words_ids.back().push_back(integers(phrase));
    }
  }
  return options;
}

/// All hypotheses of a case: ids, scores within `tolerance` of their size (1 at least: a negative length penalty makes
/// them hundreds, where float32 has steps of 3e-5) and, where the case says so, whether constraints are met.
inline void expect_hypotheses(const std::vector<BeamHypothesis>& found, const Json& test, double tolerance) {
  const Json::Array& expected = test.at("hypotheses").as_array();
  const std::string what = test.at("options").dump() + " behind " + test.at("prompt").dump();
  ASSERT_EQ(found.size(), expected.size()) << what;
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].ids, integers(expected[i].at("ids"))) << i << " of " << what;
    const double score = expected[i].at("score").as_double();
    EXPECT_NEAR(found[i].score, score, tolerance * std::max(1.0, std::abs(score))) << i << " of " << what;
    if (const Json* met = expected[i].as_object().find("met")) {
      EXPECT_EQ(found[i].constraints_met, met->as_bool()) << i << " of " << what;
    }
  }
}

}  // namespace powerhouse::testing
