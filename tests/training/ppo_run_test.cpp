// PPO on sampled completions: against the float64 reference of tests/oracles/ppo_training.py, and whole runs.
#include <map>

#include "expect_error.h"
#include "json_numbers.h"
#include "model/fixture.h"
#include "ops/tensors.h"
#include "powerhouse/optimizer.h"
#include "powerhouse/tensor_file.h"
#include "training/online_method.h"
#include "training/rollout_source.h"
#include "training/trainer_fixture.h"

namespace powerhouse::testing {
namespace {

SequenceClassifier value_model(const std::string& path, const at::Tensor& score = {}) {
  SequenceClassifier value = SequenceClassifier::from_causal_lm(path, {.num_labels = 1}, {.dtype = Dtype::f32});
  value.model().set_requires_grad(true);
  if (score.defined()) value.model().parameter("score.weight").detach().copy_(score);
  return value;
}

void expect_near(const at::Tensor& found, const at::Tensor& expected, double tolerance, const std::string& what) {
  ASSERT_EQ(found.sizes(), expected.sizes()) << what;
  EXPECT_LT(found.sub(expected).abs().max().item<double>(), tolerance) << what;
}

TEST(PpoParity, EachStepIsThatOfTheReference) {
  const std::string folder = POWERHOUSE_FIXTURES "/training/";
  const Json expected = Json::parse_file(folder + "ppo.json"), rollout = Json::parse_file(folder + "online.json");
  std::map<std::string, at::Tensor> tensors;
  for (auto& [name, tensor] : load_safetensors(folder + "ppo.safetensors")) tensors.emplace(name, tensor);
  const std::string path = POWERHOUSE_FIXTURES "/model/tiny_gqa";
  CausalLM policy = CausalLM::from_pretrained(path, {.dtype = Dtype::f32});
  CausalLM reference = policy.clone();
  for (const auto& [name, tensor] : reference.named_parameters()) tensor.mul_(0.9);
  policy.set_requires_grad(true);
  SequenceClassifier value = value_model(path, tensors.at("score"));

  OnlineOptions online{.num_generations = 4, .max_completion_length = 8, .value_model = &value};
  online.ref_model = &reference;
  const PpoOptions options{.kl_coef = 0.1, .gamma = 0.99, .lam = 0.9, .entropy_coef = 0.05, .missing_eos_penalty = 1.0};
  const auto method = make_online_method(options, online, 3);
  const RewardFunction scores{"scores", [&](std::span<const Completion>) {
                                std::vector<double> out;
                                for (const Json& score : expected.at("scores").as_array())
                                  out.push_back(score.as_double());
                                return out;
                              }};
  std::vector<Completion> completions;
  std::int64_t tokens = 0;
  for (const Json& ids : rollout.at("completions").as_array()) {
    const std::size_t prompt = completions.size() / 4;
    completions.push_back({.prompt_ids = integers(rollout.at("prompts").as_array()[prompt]), .ids = integers(ids)});
    completions.back().ended = completions.back().ids.back() == rollout.at("eos").as_integer();
    tokens += std::ssize(completions.back().ids);
  }
  const RolloutSource source(policy, *method, {scores}, online, false, 3, 0);
  const Rollouts rollouts =
      source.judged(completions, {0, 0, 0, 0, 1, 1, 1, 1}, empty_tensor({tokens}, at::kFloat).zero_(), 4);
  expect_near(rollouts.of_tokens.at("advantages"), tensors.at("advantages"), 1e-4, "advantages");
  expect_near(rollouts.of_tokens.at("returns"), tensors.at("returns"), 1e-4, "returns");

  auto parameters = policy.trainable_parameters();
  for (auto& extra : method->extra_parameters()) parameters.push_back(std::move(extra));
  Optimizer optimizer(make_parameter_groups(parameters), AdamWOptions{.lr = 1e-2, .weight_decay = 0});
  std::size_t step = 0;
  for (const Json& order : expected.at("orders").as_array()) {
    const std::vector<std::int64_t> all = integers(order);
    for (std::size_t mini = 0; mini < 2; ++mini, ++step) {
      double loss = 0;
      for (std::size_t micro = 0; micro < 2; ++micro) {
        const std::size_t first = 4 * mini + 2 * micro;
        const RolloutBatch batch = rollouts.batch({all[first], all[first + 1]});
        const CompletionScores policy_scores = score(policy, batch.completions, {.entropy_gradient = true});
        const LossResult result = method->loss(policy_scores.completions, batch, {.micro_batches = 2});
        result.loss.backward();
        loss += result.loss.item<double>();
      }
      optimizer.step();
      optimizer.zero_grad();
      EXPECT_NEAR(loss, expected.at("losses").as_array()[step].as_double(), 1e-4) << "step " << step;
    }
  }
  EXPECT_EQ(step, 4u);
  for (const auto& [name, tensor] : tensors) {
    if (name.starts_with("policy.")) expect_near(policy.parameter(name.substr(7)).detach(), tensor, 2e-4, name);
    if (name.starts_with("value.")) expect_near(value.model().parameter(name.substr(6)).detach(), tensor, 2e-4, name);
  }
}

// How many lower-case letters a completion has.
std::vector<double> letters(std::span<const Completion> completions) {
  std::vector<double> rewards;
  for (const Completion& one : completions) {
    rewards.push_back(static_cast<double>(
        std::count_if(one.text.begin(), one.text.end(), [](char c) { return c >= 'a' && c <= 'z'; })));
  }
  return rewards;
}

const RewardFunction kLetters{"letters", letters};

class PpoRun : public TrainerTest {
 protected:
  PromptDataset prompts(int rows) {
    std::string lines;
    for (int i = 0; i < rows; ++i) lines += R"({"prompt": "say )" + std::to_string(i) + ":\"}\n";
    return PromptDataset::open(tokenizer_, {{.path = folder_.write("prompts.jsonl", lines)}});
  }
  TrainingOptions steps(std::int64_t count, const std::string& output = "") {
    return options({.learning_rate = 1e-2,
                    .max_steps = count,
                    .micro_batch_size = 4,
                    .gradient_accumulation_steps = 2,
                    .evaluation = {},
                    .output_dir = output,
                    .save = {}});
  }
  OnlineOptions online(SequenceClassifier& value) { return {.max_completion_length = 12, .value_model = &value}; }
};

TEST_F(PpoRun, TheRewardRises) {
  CausalLM model = full();
  SequenceClassifier value = value_model(path_);
  std::vector<double> rewards;
  TrainingCallbacks recording{.on_step = [&](const TrainingStep& step, TrainingControl&) {
    for (const auto& [name, metric] : step.metrics) {
      if (name == "reward") rewards.push_back(metric);
    }
  }};
  Trainer(model, prompts(40), PpoOptions{.kl_coef = 0.01}, {kLetters}, online(value), steps(120), recording).train();
  ASSERT_EQ(rewards.size(), 30u) << "four epochs a generation";
  double before = 0, after = 0;
  for (std::size_t i = 0; i < 5; ++i) {
    before += rewards[i] / 5;
    after += rewards[25 + i] / 5;
  }
  EXPECT_GT(after, before + 1) << before << " to " << after;
}

TEST_F(PpoRun, AResumedRunIsTheSameBits) {
  CausalLM first = full(), second = full(), third = full();
  SequenceClassifier values[] = {value_model(path_), value_model(path_), value_model(path_)};
  const std::string whole = folder_.file("whole"), parts = folder_.file("parts");
  const PromptDataset data = prompts(24);
  Trainer(first, data, PpoOptions{}, {kLetters}, online(values[0]), steps(7, whole)).train();
  TrainingCallbacks stop{
      .on_step = [](const TrainingStep& step, TrainingControl& control) { control.stop = step.step == 3; }};
  TrainingOptions options = steps(7, parts);
  Trainer(second, data, PpoOptions{}, {kLetters}, online(values[1]), options, stop).train();
  options.resume_from_checkpoint = "latest";
  Trainer(third, data, PpoOptions{}, {kLetters}, online(values[2]), options).train();
  EXPECT_TRUE(same_bits(copy_weights(first), copy_weights(third)));
  EXPECT_TRUE(same_bits(copy_weights(values[0].model()), copy_weights(values[2].model())));
  EXPECT_EQ(losses(whole), losses(parts));
}

TEST_F(PpoRun, OptionsThatDoNotFitAreNamed) {
  CausalLM model = full();
  SequenceClassifier value = value_model(path_);
  SequenceClassifier two = SequenceClassifier::from_causal_lm(path_, {.num_labels = 2}, {.dtype = Dtype::f32});
  const auto wrong = [&](const char* field, OnlineOptions options, OnlineMethod method = PpoOptions{}) {
    expect_error(ErrorKind::usage, field, [&] { Trainer(model, prompts(8), method, {kLetters}, options, steps(2)); });
  };
  wrong("value_model", {});
  wrong("value_model", {.value_model = &two});
  wrong("value_model", {.value_model = &value}, GrpoOptions{});
  wrong("mask_truncated_completions", {.mask_truncated_completions = true, .value_model = &value});
  const RewardFunction none{"none", [](std::span<const Completion> all) {
                              return std::vector<double>(all.size(), std::numeric_limits<double>::quiet_NaN());
                            }};
  Trainer nan(model, prompts(8), PpoOptions{}, {none}, online(value), steps(2));
  expect_error(ErrorKind::numeric, "", [&] { nan.train(); });
}

TEST_F(PpoRun, ARewardModelJudges) {
  // Padding is another token than EOS, which is read as the last one then.
  const SequenceClassifier judge =
      SequenceClassifier::from_causal_lm(path_, {.num_labels = 1, .pad_token_id = 70}, {.dtype = Dtype::f32});
  const RewardFunction reward = reward_function("judge", judge, tokenizer_);
  std::vector<Completion> completions(3);
  completions[0] = {.prompt = "say a:", .text = "abc", .ended = true};
  completions[1] = {.prompt = "say a:", .text = "abc", .ended = false};
  completions[2] = {.prompt = "say a:", .text = "xyz", .ended = true};
  const std::vector<double> found = reward.judge(completions);
  TokenBatch batch;
  batch.add(tokenizer_.encode("say a:abc</s>"));
  EXPECT_NEAR(found[0], judge.logits(batch).detach()[0][0].item<double>(), 1e-6);
  EXPECT_NE(found[0], found[1]);
  EXPECT_NE(found[0], found[2]);
}

}  // namespace
}  // namespace powerhouse::testing
