// Searches on the real model against transformers on the weights that gguf-py dequantizes (tests/oracles).
#include <gtest/gtest.h>

#include "beam_cases.h"
#include "model/fixture.h"
#include "powerhouse/beam_search.h"

namespace powerhouse {
namespace {

using namespace testing;

TEST(BeamSearchOnTheRealModel, FindsWhatTransformersFinds) {
  POWERHOUSE_NEEDS_REAL_MODEL();
  const Json all = Json::parse_file(POWERHOUSE_FIXTURES "/generation/beam_search_smollm2.json");
  ASSERT_EQ(all.as_array().size(), 20u);
  const CausalLM model = CausalLM::from_pretrained(real_model(), {.dtype = Dtype::f32});
  for (const Json& test : all.as_array()) {
    BeamSearchOptions options = to_beam_options(test.at("options"));
    Session session(model);
    const auto found = beam_search(session, session.create(), integers(test.at("prompt")), options);
    expect_hypotheses(found, test, 2e-4);
  }
}

TEST(BeamSearchOnTheRealModel, WritesText) {
  POWERHOUSE_NEEDS_REAL_MODEL();
  const CausalLM model = CausalLM::from_pretrained(real_model(), {.dtype = Dtype::f32});
  const Tokenizer tokenizer = Tokenizer::from_pretrained(real_model());
  const auto found = beam_search(model, tokenizer, "The capital of France is",
                                 {.num_beams = 3, .num_return_sequences = 2, .generation = {.max_new_tokens = 6}});
  ASSERT_EQ(found.size(), 2u);
  for (const BeamHypothesis& one : found) {
    EXPECT_FALSE(one.text.empty());
    EXPECT_EQ(one.text, tokenizer.decode(one.ids, {.skip_special_tokens = true}));
  }
  const auto forced =
      beam_search(model, tokenizer, "The capital of France is",
                  {.num_beams = 6,
                   .force_words_ids = {{tokenizer.encode(" river Seine", {.add_special_tokens = false})}},
                   .generation = {.max_new_tokens = 16}});
  EXPECT_TRUE(forced.front().constraints_met);
  EXPECT_NE(forced.front().text.find(" river Seine"), std::string::npos) << forced.front().text;
}

}  // namespace
}  // namespace powerhouse
