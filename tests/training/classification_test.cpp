// Heads over sequences on labelled texts: transformers' Trainer step by step
// (tests/oracles/classification_training.py), runs in YAML, bad input.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "expect_error.h"
#include "file_bytes.h"
#include "model/fixture.h"
#include "powerhouse/classification_dataset.h"
#include "powerhouse/sequence_classifier.h"
#include "powerhouse/training_run.h"
#include "training/trainer_fixture.h"
#include "training/trainer_settings.h"

namespace powerhouse::testing {
namespace {

std::string classification_fixture(const std::string& name) {
  return POWERHOUSE_FIXTURES "/training/classification/" + name;
}

Json runs() { return Json::parse_file(classification_fixture("runs.json")); }

ClassificationDataset rows(const std::string& file, const ClassificationDatasetOptions& options = {}) {
  return ClassificationDataset::open(Tokenizer::from_pretrained(POWERHOUSE_FIXTURES "/training/reward/tokenizer"),
                                     {{.path = file}}, options);
}

SequenceClassifier tiny(const ClassificationDataset& data) {
  return SequenceClassifier::from_causal_lm(
      fixture("tiny_gqa"), {.labels = data.labels(), .problem_type = data.problem_type(), .pad_token_id = 0},
      {.dtype = Dtype::f32});
}

SequenceClassifier tiny_of(const std::string& run, const ClassificationDataset& data) {
  SequenceClassifier model = tiny(data);
  if (run == "lora") {
    model.model().load_adapter(classification_fixture("lora"), "default", /*trainable=*/true);
    return model;
  }
  model.model().parameter("score.weight").copy_(Tensors(classification_fixture("score.safetensors"))[run]);
  model.model().set_requires_grad(true);
  return model;
}

class ClassificationParity : public ::testing::TestWithParam<const char*> {};

TEST_P(ClassificationParity, StepsAreThoseOfTransformers) {
  const std::string name = GetParam();
  const Json all = runs();
  const Json& run = all.at(name);
  const std::string file = classification_fixture((name == "lora" ? "single" : name) + ".jsonl");
  const ClassificationDataset data = rows(file);
  ASSERT_EQ(data.size(), 80);
  EXPECT_EQ(to_string(data.problem_type()), run.at("problem_type").as_string());
  std::vector<std::string> labels;
  for (const Json& label : run.at("id2label").as_array()) labels.push_back(label.as_string());
  EXPECT_EQ(data.labels(), labels);
  SequenceClassifier model = tiny_of(name, data);
  std::vector<TrainingStep> steps;
  TrainingCallbacks callbacks;
  callbacks.on_step = [&](const TrainingStep& step, TrainingControl&) { steps.push_back(step); };
  Trainer trainer(model, data, data, options_of(run.at("settings")), callbacks);
  trainer.train();
  ASSERT_EQ(steps.size(), 20U);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    EXPECT_NEAR(steps[i].loss / run.at("losses").as_array()[i].as_double(), 1, 1e-3) << "step " << i + 1;
    EXPECT_NEAR(steps[i].grad_norm / run.at("grad_norms").as_array()[i].as_double(), 1, 5e-3) << "step " << i + 1;
  }
  const Evaluation after = trainer.evaluate();
  EXPECT_NEAR(after.eval_loss / run.at("eval_loss").as_double(), 1, 1e-3);
  EXPECT_EQ(after.target_tokens, 80);
  const char* metric = name == "regression" ? "mae" : "accuracy";
  ASSERT_EQ(after.metrics.size(), 1U);
  EXPECT_EQ(after.metrics[0].first, metric);
  EXPECT_NEAR(after.metrics[0].second, run.at(metric).as_double(), 1e-3);
}

INSTANTIATE_TEST_SUITE_P(Runs, ClassificationParity, ::testing::Values("single", "lora", "multi", "regression"),
                         [](const auto& info) { return std::string(info.param); });

// The mean over the rows of a step, also where its micro batches are not of one size.
TEST(Classification, AStepIsTheMeanOverItsRows) {
  const ClassificationDataset data = rows(classification_fixture("single.jsonl"));
  const auto first_step = [&](std::int64_t micro_batch_size, std::int64_t micro_batches) {
    SequenceClassifier model = tiny_of("single", data);
    TrainingStep first;
    TrainingCallbacks callbacks;
    callbacks.on_step = [&](const TrainingStep& step, TrainingControl&) { first = step; };
    const TrainingOptions options{.learning_rate = 1e-3,
                                  .epochs = 1,
                                  .micro_batch_size = micro_batch_size,
                                  .gradient_accumulation_steps = micro_batches,
                                  .shuffle = false};
    Trainer(model, data, std::nullopt, options, callbacks).train();
    return first;
  };
  const TrainingStep whole = first_step(80, 1), parts = first_step(64, 2);  // 64 rows and 16
  EXPECT_NEAR(parts.loss, whole.loss, 1e-5 * whole.loss);
  EXPECT_NEAR(parts.grad_norm, whole.grad_norm, 1e-4 * whole.grad_norm);
  ASSERT_EQ(parts.metrics.size(), 1U);
  EXPECT_NEAR(parts.metrics[0].second, whole.metrics[0].second, 1e-9);
}

TEST(Classification, AResumedRunHasTheSameBits) {
  const TemporaryFolder folder;
  const ClassificationDataset data = rows(classification_fixture("multi.jsonl"));
  TrainingOptions options{.learning_rate = 1e-3, .epochs = 1, .micro_batch_size = 8};
  const auto trained = [&](const TrainingOptions& wanted, const TrainingCallbacks& callbacks = {}) {
    SequenceClassifier model = tiny_of("multi", data);
    Trainer(model, data, std::nullopt, wanted, callbacks).train();
    return copy_weights(model.model());
  };
  const Weights whole = trained(options);
  options.output_dir = folder.file("run");
  TrainingCallbacks stopping;
  stopping.on_step = [](const TrainingStep& step, TrainingControl& control) { control.stop = step.step == 4; };
  EXPECT_FALSE(same_bits(whole, trained(options, stopping)));
  options.resume_from_checkpoint = "latest";
  EXPECT_TRUE(same_bits(whole, trained(options)));
}

// Axolotl's model_type, transformers' config.json: the folder is read back with names and kind of problem.
TEST(Classification, RunsAreYaml) {
  const TemporaryFolder folder;
  const std::string base = write_tiny_model(folder), out = folder.file("out");
  const auto yaml = [&](const std::string& from, const std::string& to, const std::string& more) {
    return "base_model: " + from + "\nmodel_type: AutoModelForSequenceClassification\ndatasets:\n  - path: " +
           classification_fixture("single.jsonl") + "\nbf16: false\nmicro_batch_size: 8\noutput_dir: " + to + "\n" +
           more;
  };
  const TrainingResult result = train(
      parse_training_run(yaml(base, out, "learning_rate: 0.003\nnum_epochs: 4\nval_set_size: 0.2\n"), "run.yaml"));
  EXPECT_LT(*result.best_eval_loss, 1.0);
  const Json config = Json::parse_file(out + "/config.json");
  EXPECT_EQ(config.at("architectures").as_array()[0].as_string(), "LlamaForSequenceClassification");
  EXPECT_EQ(config.at("problem_type").as_string(), "single_label_classification");
  EXPECT_EQ(config.at("id2label").at("2").as_string(), "numbers");
  EXPECT_EQ(config.at("label2id").at("mixed").as_integer(), 1);
  EXPECT_NE(file_bytes(out + "/train_log.jsonl").find("\"accuracy\""), std::string::npos);
  EXPECT_NE(file_bytes(out + "/train_log.jsonl").find("\"eval_accuracy\""), std::string::npos);
  // On from there: its names are the data's.
  const std::string again = folder.file("again");
  train(parse_training_run(yaml(out, again, "max_steps: 1\nnum_labels: 3\n"), "run.yaml"));
  EXPECT_EQ(SequenceClassifier::from_pretrained(again).head().labels[0], "letters");
  expect_error(ErrorKind::usage, "num_labels",
               [&] { train(parse_training_run(yaml(out, again, "num_labels: 4\n"), "run.yaml")); });
  // With names of one's own, and an adapter whose folder is PEFT's.
  const std::string adapter = folder.file("adapter");
  train(parse_training_run(
      yaml(base, adapter,
           "adapter: lora\nlora_target_linear: true\nmax_steps: 1\ntest_datasets:\n  - path: " +
               classification_fixture("single.jsonl") + "\nid2label: {0: numbers, 1: letters, 2: mixed}\n"),
      "run.yaml"));
  EXPECT_EQ(Json::parse_file(adapter + "/adapter_config.json").at("task_type").as_string(), "SEQ_CLS");
}

TEST(Classification, KeysOfARunFitTogether) {
  const auto refused = [&](const std::string& field, const std::string& keys) {
    expect_error(ErrorKind::format, field,
                 [&] { parse_training_run("base_model: x\ndatasets: [{path: y.jsonl}]\n" + keys, "run.yaml"); });
  };
  const std::string classifier = "model_type: LlamaForSequenceClassification\n";
  refused("num_labels", "num_labels: 3\n");
  refused("problem_type", "problem_type: regression\n");
  refused("problem_type", classifier + "problem_type: clustering\n");
  refused("id2label", "id2label: {0: a, 1: b}\n");
  refused("id2label", classifier + "id2label: {0: a, 2: b}\n");
  refused("num_labels", classifier + "num_labels: 3\nid2label: {0: a, 1: b}\n");
  refused("num_labels", classifier + "num_labels: 1\nproblem_type: single_label_classification\n");
  refused("sample_packing", classifier + "sample_packing: true\n");
  refused("model_type", classifier + "rl: dpo\n");
  refused("num_labels", classifier + "rl: reward\nnum_labels: 2\n");
  refused("rl", "reward_model: true\nrl: dpo\n");
  refused("reward_model", "rl: dpo\nreward_model: true\n");
  refused("rl_beta", classifier + "rl_beta: 0.1\n");
  const TrainingRun reward = parse_training_run(
      "base_model: x\ndatasets: [{path: y.jsonl}]\nreward_model: true\nnum_labels: 1\n" + classifier, "run.yaml");
  EXPECT_EQ(reward.rl, "reward");
  const TrainingRun plain =
      parse_training_run("base_model: x\ndatasets: [{path: y.jsonl}]\nmodel_type: LlamaForCausalLM\n", "run.yaml");
  ASSERT_EQ(plain.notices.size(), 1U);
  EXPECT_TRUE(plain.model_type.empty());
}

TEST(Classification, BadInputIsAnError) {
  const ClassificationDataset data = rows(classification_fixture("single.jsonl"));
  const TrainingOptions options{.learning_rate = 1e-3, .max_steps = 20};
  const auto refused = [&](const std::string& words, const SequenceHeadOptions& head) {
    SequenceClassifier model = SequenceClassifier::from_causal_lm(fixture("tiny_gqa"), head, {.dtype = Dtype::f32});
    model.model().set_requires_grad(true);
    expect_error(ErrorKind::usage, words, [&] { Trainer(model, data, std::nullopt, options); });
  };
  refused("num_labels", {.num_labels = 4});
  refused("problem_type", {.num_labels = 3, .problem_type = ProblemType::multi_label_classification});
  refused("labels", {.labels = {"mixed", "letters", "numbers"}});
  SequenceClassifier model = tiny(data);
  expect_error(ErrorKind::usage, "requires gradients", [&] { Trainer(model, data, std::nullopt, options); });
  model.model().set_requires_grad(true);
  expect_error(ErrorKind::usage, "sample_packing",
               [&] { Trainer(model, data, std::nullopt, TrainingOptions{.max_steps = 1, .sample_packing = true}); });
  model.model().parameter("score.weight").detach().fill_(std::numeric_limits<float>::quiet_NaN());
  expect_error(ErrorKind::numeric, "no finite numbers", [&] { Trainer(model, data, std::nullopt, options).train(); });
}

}  // namespace
}  // namespace powerhouse::testing
