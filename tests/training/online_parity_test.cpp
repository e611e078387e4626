// GRPO and RLOO against TRL's trainers, from rewards to gradients: tests/oracles/online_training.py.
#include <gtest/gtest.h>

#include <limits>
#include <map>

#include "json_numbers.h"
#include "model/fixture.h"
#include "ops/tensors.h"
#include "powerhouse/tensor_file.h"
#include "support/json.h"
#include "training/online_method.h"
#include "training/rollout_source.h"

namespace powerhouse::testing {
namespace {

constexpr const char* kFixture = POWERHOUSE_FIXTURES "/training/online";

Json fixture() { return Json::parse_file(std::string(kFixture) + ".json"); }

std::map<std::string, at::Tensor> tensors() {
  std::map<std::string, at::Tensor> out;
  for (auto& [name, tensor] : load_safetensors(std::string(kFixture) + ".safetensors")) out.emplace(name, tensor);
  return out;
}

OnlineMethod method_of(const Json& run) {
  const Json& o = run.at("options");
  if (run.at("method").as_string() == "rloo") {
    return RlooOptions{.beta = o.double_or("beta", 0.05),
                       .normalize_advantages = o.bool_or("normalize_advantages", false)};
  }
  GrpoOptions options{.beta = o.double_or("beta", 0)};
  options.loss_type = parse_grpo_loss_type(o.string_or("loss_type", "dapo"));
  if (o.string_or("importance_sampling_level", "token") == "sequence")
    options.importance_sampling_level = ImportanceSampling::sequence;
  options.entropy_coef = o.double_or("entropy_coef", 0);
  options.top_entropy_quantile = o.double_or("top_entropy_quantile", 1);
  if (o.get("epsilon_high") != nullptr) options.epsilon_high = o.at("epsilon_high").as_double();
  const std::string scale = o.string_or("scale_rewards", "group");
  options.scale_rewards = scale == "none"    ? ScaleRewards::none
                          : scale == "batch" ? ScaleRewards::batch
                                             : ScaleRewards::group;
  if (run.at("rewards").as_array().size() == 2) options.reward_weights = {1, 0.5};
  return options;
}

class OnlineParity : public ::testing::TestWithParam<std::string> {};

TEST_P(OnlineParity, LossAndGradientsAreThoseOfTrl) {
  const Json all = fixture();
  const auto expected = tensors();
  const Json* found = nullptr;
  for (const Json& run : all.at("runs").as_array()) {
    if (run.at("name").as_string() == GetParam()) found = &run;
  }
  ASSERT_NE(found, nullptr);
  const Json& run = *found;

  CausalLM model = CausalLM::from_pretrained(POWERHOUSE_FIXTURES "/model/tiny_gqa", {.dtype = Dtype::f32});
  CausalLM reference = model.clone();
  for (const auto& [name, tensor] : reference.named_parameters()) tensor.mul_(0.9);
  model.set_requires_grad(true);
  OnlineOptions online{.num_generations = 4, .max_completion_length = 8};
  online.temperature = static_cast<float>(run.at("options").double_or("temperature", 1));
  online.mask_truncated_completions = run.at("options").bool_or("mask_truncated_completions", false);
  const auto method = make_online_method(method_of(run), online, 2);
  if (method->has_reference()) online.ref_model = &reference;

  std::vector<RewardFunction> rewards;
  for (const Json& column : run.at("rewards").as_array()) {
    rewards.push_back({"f" + std::to_string(rewards.size()), [column](std::span<const Completion>) {
                         std::vector<double> out;
                         for (const Json& reward : column.as_array())
                           out.push_back(reward.is_null() ? std::numeric_limits<double>::quiet_NaN()
                                                          : reward.as_double());
                         return out;
                       }});
  }
  std::vector<Completion> completions;
  std::int64_t tokens = 0;
  for (const Json& ids : all.at("completions").as_array()) {
    const std::size_t prompt = completions.size() / 4;
    completions.push_back({.prompt_ids = integers(all.at("prompts").as_array()[prompt]), .ids = integers(ids)});
    completions.back().ended = completions.back().ids.back() == all.at("eos").as_integer();
    tokens += std::ssize(completions.back().ids);
  }
  const bool drift = run.at("drift").as_bool();
  const RolloutSource source(model, *method, rewards, online, !drift, 3, 0);
  const at::Tensor sampled = empty_tensor({tokens}, at::kFloat).zero_();
  Rollouts rollouts = source.judged(completions, {0, 0, 0, 0, 1, 1, 1, 1}, sampled, 4);
  const at::Tensor old = expected.at(GetParam() + ".old");
  if (drift) {
    ASSERT_EQ(rollouts.of_tokens.at("old").sizes(), old.sizes());
    rollouts.of_tokens["old"] = old;
    if (run.at("method").as_string() == "rloo") {
      rollouts.of_completions["old_sums"] = rollouts.of_completions.at("old_sums").clone();
      std::int64_t begin = 0;
      for (std::int64_t i = 0; i < 8; ++i) {
        const std::int64_t count = rollouts.sequences[static_cast<std::size_t>(i)].completion_tokens();
        rollouts.of_completions["old_sums"][i].copy_(old.narrow(0, begin, count).sum());
        begin += count;
      }
    }
  } else if (rollouts.of_tokens.contains("old")) {
    EXPECT_LT(rollouts.of_tokens.at("old").sub(old).abs().max().item<double>(), 1e-5);
  }
  for (std::int64_t i = 0; i < 8; ++i) {
    EXPECT_NEAR(rollouts.of_completions.at("advantages")[i].item<double>(),
                run.at("advantages").as_array()[static_cast<std::size_t>(i)].as_double(), 1e-5);
  }

  const std::int64_t micro_batches = run.at("accumulation").as_integer();
  double loss = 0;
  for (std::int64_t part = 0; part < micro_batches; ++part) {
    const RolloutBatch batch = rollouts.batch({2 * part, 2 * part + 1});
    if (batch.completions.tokens.target_count() == 0) continue;
    const ScoreOptions options{.temperature = online.temperature, .entropy_gradient = method->has_entropy_bonus()};
    const CompletionScores scores = score(model, batch.completions, options);
    const LossResult result = method->loss(scores.completions, batch,
                                           {.micro_batches = micro_batches,
                                            .steps_per_generation = run.at("steps_per_generation").as_integer(),
                                            .generation_tokens = rollouts.tokens()});
    result.loss.backward();
    loss += result.loss.item<double>();
  }
  EXPECT_NEAR(loss, run.at("loss").as_double(), 1e-4);
  for (const auto& [name, tensor] : expected) {
    if (!name.starts_with(GetParam() + ".model")) continue;
    const at::Tensor gradient = model.parameter(name.substr(GetParam().size() + 1)).grad();
    ASSERT_TRUE(gradient.defined()) << name;
    const double scale = std::max(1.0, tensor.abs().max().item<double>());
    EXPECT_LT(gradient.sub(tensor).abs().max().item<double>(), 1e-4 * scale) << name;
  }
  std::map<std::string, double> metrics(rollouts.metrics.begin(), rollouts.metrics.end());
  for (const auto& [name, value] : run.at("metrics").as_object()) {
    if (name.starts_with("completions/") || name.starts_with("reward") || name.starts_with("frac")) {
      ASSERT_TRUE(metrics.contains(name)) << name;
      EXPECT_NEAR(metrics.at(name), value.as_double(), 1e-5) << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Trl, OnlineParity,
                         ::testing::Values("dapo", "grpo_kl", "dr_grpo", "bnpo_sequence", "dapo_masked",
                                           "dapo_half_a_generation", "cispo", "nan", "equal", "entropy_bonus",
                                           "entropy_bonus_of_some", "rloo", "rloo_normalized"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace powerhouse::testing
