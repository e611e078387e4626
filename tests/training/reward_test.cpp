// Reward models: TRL's RewardTrainer step by step (tests/oracles/reward_training.py), resumed runs, bad input.
#include <gtest/gtest.h>

#include <fstream>
#include <limits>

#include "expect_error.h"
#include "file_bytes.h"
#include "model/fixture.h"
#include "powerhouse/preference_dataset.h"
#include "powerhouse/preference_losses.h"
#include "powerhouse/sequence_classifier.h"
#include "powerhouse/training_run.h"
#include "training/reward_parity.h"
#include "training/trainer_fixture.h"

namespace powerhouse::testing {
namespace {

SequenceClassifier tiny() {
  SequenceClassifier model =
      SequenceClassifier::from_causal_lm(fixture("tiny_gqa"), {.pad_token_id = 0}, {.dtype = Dtype::f32});
  model.model().parameter("score.weight").copy_(Tensors(reward_fixture("score.safetensors"))["score.weight"]);
  return model;
}

PreferenceDataset pairs(const std::string& file, const PreferenceDatasetOptions& options = {}) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(reward_fixture("tokenizer"));
  return PreferenceDataset::open(tokenizer, {{.path = file}}, options);
}

// The pairs without their margins.
std::string plain_pairs(const TemporaryFolder& folder) {
  std::string lines;
  std::ifstream in(reward_fixture("pairs.jsonl"));
  for (std::string line; std::getline(in, line);) {
    const Json row = Json::parse(line, "pairs");
    JsonObject out;
    for (const char* key : {"prompt", "chosen", "rejected"}) out[key] = row.at(key);
    lines += Json(std::move(out)).dump() + "\n";
  }
  return folder.write("plain.jsonl", lines);
}

class RewardParity : public ::testing::TestWithParam<const char*> {};

TEST_P(RewardParity, StepsAreThoseOfTrl) {
  const std::string name = GetParam();
  const Json runs = Json::parse_file(reward_fixture("runs.json"));
  const Json& run = runs.at(name);
  const TemporaryFolder folder;
  SequenceClassifier model = tiny();
  if (name == "lora") {
    model.model().load_adapter(reward_fixture("lora"), "default", /*trainable=*/true);
  } else {
    model.model().set_requires_grad(true);
  }
  const PreferenceDataset data = pairs(name == "margin" ? reward_fixture("pairs.jsonl") : plain_pairs(folder));
  ASSERT_EQ(data.size(), 80);
  expect_same_steps(run, train(model, data, run.at("settings")));
}

INSTANTIATE_TEST_SUITE_P(Runs, RewardParity, ::testing::Values("full", "margin", "lora"),
                         [](const auto& info) { return std::string(info.param); });

// The rows of a prompt stand once, for both of its completions.
TEST(RewardTraining, APromptIsComputedOnce) {
  SequenceClassifier model = tiny();
  model.model().set_requires_grad(true);
  const PreferenceDataset data = pairs(reward_fixture("pairs.jsonl"));
  std::int64_t expected = 0;
  for (std::int64_t row = 0; row < data.size(); ++row) {
    const PreferencePair pair = data.pair(row);
    // Each continuation begins with the prompt's last token, which the prompt then leaves out.
    expected += pair.chosen.prompt_tokens - 1 + pair.chosen.completion_tokens() + pair.rejected.completion_tokens() + 2;
  }
  std::int64_t tokens = 0;
  TrainingCallbacks callbacks;
  callbacks.on_step = [&](const TrainingStep& step, TrainingControl&) { tokens += step.tokens; };
  const TrainingOptions options{.learning_rate = 1e-3, .epochs = 1, .micro_batch_size = 8};
  Trainer(model, data, std::nullopt, RewardOptions{}, options, callbacks).train();
  EXPECT_EQ(tokens, expected);
}

TEST(RewardTraining, EvaluatesTheHeldBackPairs) {
  SequenceClassifier model = tiny();
  model.model().set_requires_grad(true);
  const PreferenceDataset data = pairs(reward_fixture("pairs.jsonl"));
  TrainingOptions options{.learning_rate = 1e-3, .epochs = 2, .micro_batch_size = 7, .eval_batch_size = 9};
  Trainer trainer(model, data, data, RewardOptions{}, options);
  const Evaluation before = trainer.evaluate();
  trainer.train();
  const Evaluation after = trainer.evaluate();
  EXPECT_LT(after.eval_loss, before.eval_loss);
  ASSERT_EQ(after.metrics.size(), 5U);
  EXPECT_EQ(after.metrics[3].first, "accuracy");
  EXPECT_GT(after.metrics[3].second, 0.9);
  EXPECT_EQ(after.target_tokens, 160);
  // By hand: the mean over all pairs, whatever the batches.
  TokenBatch chosen, rejected;
  for (std::int64_t row = 0; row < data.size(); ++row) {
    chosen.add(data.pair(row).chosen.input_ids);
    rejected.add(data.pair(row).rejected.input_ids);
  }
  const at::Tensor won = model.logits(chosen).squeeze(1).detach().sub(model.logits(rejected).squeeze(1).detach());
  EXPECT_NEAR(after.metrics[3].second, won.gt(0).to(at::kDouble).mean().item<double>(), 1e-9);
  EXPECT_NEAR(after.metrics[4].second, won.mean().item<double>(), 1e-4);
}

TEST(RewardTraining, AResumedRunHasTheSameBits) {
  const TemporaryFolder folder;
  const PreferenceDataset data = pairs(reward_fixture("pairs.jsonl"));
  TrainingOptions options{.learning_rate = 1e-3, .epochs = 1, .micro_batch_size = 8};
  const auto trained = [&](const TrainingOptions& wanted, const TrainingCallbacks& callbacks = {}) {
    SequenceClassifier model = tiny();
    model.model().set_requires_grad(true);
    Trainer(model, data, std::nullopt, RewardOptions{}, wanted, callbacks).train();
    return copy_weights(model.model());
  };
  const Weights whole = trained(options);
  options.output_dir = folder.file("run");
  TrainingCallbacks stopping;
  stopping.on_step = [](const TrainingStep& step, TrainingControl& control) { control.stop = step.step == 4; };
  const Weights half = trained(options, stopping);
  EXPECT_FALSE(same_bits(whole, half));
  options.resume_from_checkpoint = "latest";
  EXPECT_TRUE(same_bits(whole, trained(options)));
}

// `rl: reward` of a run's YAML: the adapter with its head, TRL's metrics in the log.
TEST(RewardTraining, RunsAreYaml) {
  const TemporaryFolder folder;
  const std::string base = write_tiny_model(folder), out = folder.file("out");
  const std::string yaml = "rl: reward\nbase_model: " + base +
                           "\nadapter: lora\nlora_r: 4\nlora_target_linear: true\n" +
                           "datasets:\n  - path: " + reward_fixture("pairs.jsonl") + "\nval_set_size: 0.2\n" +
                           "center_rewards_coefficient: 0.01\nmicro_batch_size: 8\nnum_epochs: 2\nbf16: false\n" +
                           "learning_rate: 0.005\noutput_dir: " + out + "\n";
  const TrainingResult result = train(parse_training_run(yaml, "run.yaml"));
  EXPECT_EQ(result.steps, 16);
  EXPECT_LT(*result.best_eval_loss, 0.4);
  EXPECT_EQ(Json::parse_file(out + "/adapter_config.json").at("task_type").as_string(), "SEQ_CLS");
  const std::string text = testing::file_bytes(out + "/train_log.jsonl");
  for (const char* name : {"accuracy", "margin", "min_reward", "mean_reward", "max_reward"}) {
    EXPECT_NE(text.find(name), std::string::npos) << name;
  }
  // The whole model, and on from there.
  const std::string whole = folder.file("whole");
  const auto full = [&](const std::string& from, const std::string& to) {
    return train(parse_training_run(
        "rl: reward\nbase_model: " + from + "\ndatasets:\n  - path: " + reward_fixture("pairs.jsonl") +
            "\nmicro_batch_size: 8\nbf16: false\n" + "max_steps: 3\noutput_dir: " + to + "\n",
        "run.yaml"));
  };
  full(base, whole);
  EXPECT_EQ(SequenceClassifier::from_pretrained(whole).head().pad_token_id, 0);
  full(whole, folder.file("again"));
  const auto refused = [&](const std::string& key) {
    expect_error(ErrorKind::format, key.substr(0, key.find(':')),
                 [&] { parse_training_run(yaml + key + "\n", "run.yaml"); });
  };
  refused("rl_beta: 0.2");
  refused("ref_model: x");
  refused("sample_packing: true");
}

// The head of the base, too, then has the run's padding.
TEST(RewardTraining, SpecialTokensAreTheRuns) {
  const TemporaryFolder folder;
  const std::string base = write_tiny_model(folder);
  Json tokenizer = Json::parse_file(base + "/tokenizer.json");
  Json end = tokenizer.at("added_tokens").as_array()[0];
  const auto id = static_cast<std::int64_t>(Tokenizer::from_pretrained(base).vocab_size());
  end.as_object()["content"] = "<end>";
  end.as_object()["id"] = id;
  tokenizer.as_object().find("added_tokens")->as_array().push_back(end);
  std::ofstream(base + "/tokenizer.json") << tokenizer.dump();
  const auto run = [&](const std::string& from, const std::string& to, const std::string& tokens) {
    train(parse_training_run("rl: reward\nbase_model: " + from +
                                 "\ndatasets:\n  - path: " + reward_fixture("pairs.jsonl") +
                                 "\nbf16: false\nmax_steps: 1\noutput_dir: " + to + "\n" + tokens,
                             "run.yaml"));
  };
  const std::string plain = folder.file("plain");
  run(base, plain, "");
  EXPECT_EQ(SequenceClassifier::from_pretrained(plain).head().pad_token_id, 0);
  for (const std::string& from : {base, plain}) {
    const std::string out = folder.file(from == base ? "fresh" : "onward");
    run(from, out, "special_tokens: {eos_token: <end>, pad_token: <end>}\n");
    EXPECT_EQ(SequenceClassifier::from_pretrained(out).head().pad_token_id, id);
    const Tokenizer saved = Tokenizer::from_pretrained(out);
    EXPECT_EQ(saved.eos_token_id(), id);
    EXPECT_EQ(saved.pad_token_id(), id);
  }
}

// TRL leaves out pairs of which a text is longer.
TEST(RewardTraining, LongPairsAreLeftOut) {
  const std::string file = reward_fixture("pairs.jsonl");
  const PreferenceDataset all = pairs(file);
  std::int64_t fit = 0;
  for (std::int64_t row = 0; row < all.size(); ++row) {
    const PreferencePair pair = all.pair(row);
    fit += pair.chosen.input_ids.size() <= 20 && pair.rejected.input_ids.size() <= 20 ? 1 : 0;
  }
  ASSERT_GT(fit, 0);
  ASSERT_LT(fit, all.size());
  const PreferenceDataset data = pairs(file, {.max_length = 20, .truncation_mode = TruncationMode::drop});
  EXPECT_EQ(data.size(), fit);
  EXPECT_EQ(data.report().find(RowProblem::too_long)->rows, all.size() - fit);
  for (std::int64_t row = 0; row < data.size(); ++row) EXPECT_LE(data.pair(row).chosen.input_ids.size(), 20U);
}

TEST(RewardTraining, BadInputIsAnError) {
  const PreferenceDataset data = pairs(reward_fixture("pairs.jsonl"));
  const TrainingOptions options{.learning_rate = 1e-3, .max_steps = 2};
  SequenceClassifier three = SequenceClassifier::from_causal_lm(fixture("tiny_gqa"), {.num_labels = 3});
  three.model().set_requires_grad(true);
  expect_error(ErrorKind::usage, "num_labels", [&] { Trainer(three, data, std::nullopt, RewardOptions{}, options); });
  SequenceClassifier model = tiny();
  expect_error(ErrorKind::usage, "requires gradients",
               [&] { Trainer(model, data, std::nullopt, RewardOptions{}, options); });
  model.model().set_requires_grad(true);
  expect_error(ErrorKind::range, "center_rewards_coefficient",
               [&] { Trainer(model, data, std::nullopt, RewardOptions{.center_rewards_coefficient = -1}, options); });
  const PreferenceDataset single = pairs(reward_fixture("pairs.jsonl"), {.unpaired = true});
  expect_error(ErrorKind::usage, "pairs", [&] { Trainer(model, single, std::nullopt, RewardOptions{}, options); });
  const at::Tensor score = model.model().parameter("score.weight").detach();
  score.fill_(std::numeric_limits<float>::quiet_NaN());
  // Steps are skipped, and in the end it is enough.
  const TrainingOptions long_run{.learning_rate = 1e-3, .max_steps = 20};
  expect_error(ErrorKind::numeric, "no finite numbers for 10 steps",
               [&] { Trainer(model, data, std::nullopt, RewardOptions{}, long_run).train(); });
  expect_error(ErrorKind::numeric, "not finite",
               [&] { Trainer(model, data, data, RewardOptions{}, long_run).evaluate(); });
}

}  // namespace
}  // namespace powerhouse::testing
