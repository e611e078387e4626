// A reward model with LoRA on the real model in float32 against TRL's RewardTrainer (tests/oracles/reward_training.py):
// conversations through the chat template, 20 steps.
#include <gtest/gtest.h>

#include "temporary_folder.h"
#include "training/hashed_adapter.h"
#include "training/reward_parity.h"

namespace powerhouse::testing {
namespace {

TEST(RewardSmolLM2, StepsAreThoseOfTrlOnTheDequantizedModel) {
  POWERHOUSE_NEEDS_REAL_MODEL();
  const Json run = Json::parse_file(reward_fixture("smollm2.json"));
  SequenceClassifier model = SequenceClassifier::from_causal_lm(
      real_model(), {.pad_token_id = run.at("pad_token_id").as_integer()}, {.dtype = Dtype::f32});
  LoraConfig config{.rank = 8, .alpha = 16};
  config.target_modules = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
  model.model().add_adapter("default", config);
  fill_with_hashes(model.model(), run.at("names"));
  const TemporaryFolder folder;
  std::string lines;
  for (const Json& row : run.at("rows").as_array()) lines += row.dump() + "\n";
  const PreferenceDataset data =
      PreferenceDataset::open(Tokenizer::from_pretrained(real_model()), {{.path = folder.write("pairs.jsonl", lines)}});
  ASSERT_EQ(data.size(), 80);
  expect_same_steps(run, train(model, data, run.at("settings")));
}

}  // namespace
}  // namespace powerhouse::testing
