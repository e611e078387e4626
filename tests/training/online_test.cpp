// Training on sampled completions: GRPO and RLOO from prompts to weights.
#include "training/online_objective.h"

#include <cmath>
#include <limits>
#include <map>

#include "expect_error.h"
#include "generation/sample_many.h"
#include "support/mapped_file.h"
#include "training/rollout_source.h"
#include "training/trainer_fixture.h"

namespace powerhouse::testing {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// How many lower-case letters a completion has; the row's own counts twice.
std::vector<double> letters_of_row(std::span<const Completion> completions) {
  std::vector<double> rewards;
  for (const Completion& one : completions) {
    const char own = one.columns.at("letter")[0];
    double reward = 0;
    for (const char c : one.text) reward += c == own ? 2 : c >= 'a' && c <= 'z' ? 1 : 0;
    rewards.push_back(reward);
  }
  return rewards;
}

const RewardFunction kLettersOfRow{"letters", letters_of_row};

RewardFunction constant(const std::string& name, double value) {
  return {name, [value](std::span<const Completion> all) { return std::vector<double>(all.size(), value); }};
}

class OnlineTest : public TrainerTest {
 protected:
  PromptDataset prompts(int rows, double val_set_size = 0) {
    std::string lines;
    for (int i = 0; i < rows; ++i) {
      const std::string letter(1, static_cast<char>('a' + i % 5));
      lines += R"({"prompt": "say )" + letter + std::to_string(i) + R"(:", "letter": ")" + letter +
               "\", \"number\": " + std::to_string(i) + "}\n";
    }
    const std::string file = folder_.write("prompts" + std::to_string(rows) + ".jsonl", lines);
    return PromptDataset::open(tokenizer_, {{.path = file}}, {.val_set_size = val_set_size});
  }
  CausalLM exact(bool adapter) {
    CausalLM model = CausalLM::from_pretrained(path_, {.numerics = Numerics::exact});
    if (adapter) {
      model.add_adapter("default", {.rank = 4, .alpha = 8, .target_modules = {"all-linear"}});
      // A fresh adapter changes nothing.
      for (const auto& [name, tensor] : model.trainable_parameters()) tensor.detach().normal_(0, 0.05);
    } else {
      model.set_requires_grad(true);
    }
    return model;
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
  // The metrics of each step.
  std::vector<std::map<std::string, double>> run(Trainer& trainer) {
    steps_.clear();
    trainer.train();
    return steps_;
  }
  TrainingCallbacks recording() {
    return {.on_step = [this](const TrainingStep& step, TrainingControl&) {
      std::map<std::string, double> metrics(step.metrics.begin(), step.metrics.end());
      metrics["loss"] = step.loss;
      metrics["grad_norm"] = step.grad_norm;
      if (!step.skipped.empty()) metrics["skipped"] = 1;
      steps_.push_back(std::move(metrics));
    }};
  }

  std::vector<std::map<std::string, double>> steps_;
  OnlineOptions short_{.num_generations = 4, .max_completion_length = 12};
};

TEST_F(OnlineTest, ACompletionDependsOnItsSeedAlone) {
  const CausalLM model = CausalLM::from_pretrained(path_, {.numerics = Numerics::exact});
  const std::vector<std::vector<std::int64_t>> two{tokenizer_.encode("one"), tokenizer_.encode("another")};
  GenerationOptions options{.max_new_tokens = 20, .temperature = 1.2f};
  options.processors.push_back([&](std::span<float> logits, const LogitsContext&) {  // ids that are no tokens
    for (std::size_t i = 73; i < logits.size(); ++i) logits[i] = -std::numeric_limits<float>::infinity();
  });
  const auto many = sample_many(model, tokenizer_, two, options, {5, [](std::size_t i) { return 40 + i; }});
  ASSERT_EQ(many.size(), 10u);
  const auto alone = sample_many(model, tokenizer_, {two[1]}, options, {1, [](std::size_t) { return 47; }});
  EXPECT_EQ(many[7].ids, alone[0].ids);
  EXPECT_EQ(many[7].log_probs, alone[0].log_probs);
  EXPECT_NE(many[7].ids, many[8].ids);
  GenerationOptions single = options;
  single.seed = 47;
  EXPECT_EQ(generate(model, tokenizer_, "another", single).ids, alone[0].ids) << "as generate has it";
  for (const SampledCompletion& one : many) {
    EXPECT_LE(one.ids.size(), 20u);
    EXPECT_EQ(one.ids.size(), one.log_probs.size());
    EXPECT_EQ(one.ended, one.ids.back() == 0 || one.ids.back() == 2);
  }
  expect_error(ErrorKind::usage, "", [&] {
    sample_many(model, tokenizer_, two, {.temperature = 0}, {1, [](std::size_t) { return 1; }});
  });
}

// The trainer's log-probabilities of what the session sampled, token by token, are the same bits.
TEST_F(OnlineTest, TheRatioIsOneInExactNumerics) {
  for (const bool adapter : {false, true}) {
    for (const float temperature : {1.0f, 0.7f}) {
      CausalLM model = exact(adapter);
      const PromptDataset data = prompts(4);
      OnlineOptions online = short_;
      online.temperature = temperature;
      const auto method = make_online_method(GrpoOptions{}, online, 3);
      const RolloutSource source(model, *method, {kLettersOfRow}, online, true, 3, 7);
      const Rollouts rollouts = source.generate(data, {0, 1, 2, 3}, 4, {});
      std::vector<std::int64_t> chosen{5, 2, 15, 0, 9, 8};
      const RolloutBatch batch = rollouts.batch(chosen);
      const CompletionScores scores = score(model, batch.completions, {.temperature = temperature});
      const at::Tensor log_probs = scores.completions.token_log_probs;
      EXPECT_TRUE(log_probs.requires_grad());
      EXPECT_LT(batch.completions.tokens.rows(), [&] {
        std::int64_t rows = 0;
        for (const std::int64_t i : chosen)
          rows += std::ssize(rollouts.sequences[static_cast<std::size_t>(i)].input_ids);
        return rows;
      }()) << "siblings share their prompt";
      const at::Tensor ratio = log_probs.detach().sub(batch.value("old")).exp();
      EXPECT_GT(ratio.size(0), 20);
      EXPECT_TRUE(ratio.equal(ratio.new_ones(ratio.sizes())));
      // At another temperature they are others.
      const at::Tensor others = score(model, batch.completions, {.temperature = 1.3f}).completions.token_log_probs;
      EXPECT_FALSE(others.detach().equal(log_probs.detach()));
    }
  }
}

TEST_F(OnlineTest, FastNumericsScoreAtTheTemperature) {
  CausalLM model = full();
  const PromptDataset data = prompts(4);
  const auto method = make_online_method(RlooOptions{.beta = 0}, short_, 3);
  OnlineOptions online = short_;
  online.temperature = 0.6f;
  const RolloutSource source(model, *method, {kLettersOfRow}, online, true, 3, 7);
  const Rollouts rollouts = source.generate(data, {0, 1, 2, 3}, 4, {});
  double largest = -1;
  for (const auto& [name, value] : rollouts.metrics) {
    if (name == "sampling/sampling_logp_difference/max") largest = value;
  }
  EXPECT_GE(largest, 0);
  EXPECT_LT(largest, 1e-4);
}

TEST_F(OnlineTest, TheRewardRises) {
  for (const bool rloo : {false, true}) {
    CausalLM model = full();
    const OnlineMethod method = rloo ? OnlineMethod(RlooOptions{.beta = 0.01}) : OnlineMethod(GrpoOptions{});
    Trainer trainer(model, prompts(40), method, {kLettersOfRow}, short_, steps(60), recording());
    const auto done = run(trainer);
    ASSERT_EQ(done.size(), 60u);
    double before = 0, after = 0;
    for (std::size_t i = 0; i < 10; ++i) {
      before += done[i].at("reward") / 10;
      after += done[50 + i].at("reward") / 10;
    }
    EXPECT_GT(after, before + 2) << before << " to " << after;
    for (const char* name : {"reward_std", "frac_reward_zero_std", "rewards/letters/mean", "rewards/letters/std",
                             "completions/mean_length", "completions/clipped_ratio", "entropy", "clip_ratio/low_mean",
                             "clip_ratio/high_mean", "clip_ratio/region_mean"}) {
      EXPECT_TRUE(done[0].contains(name)) << name;
    }
    EXPECT_EQ(done[0].contains("kl"), rloo);
  }
}

TEST_F(OnlineTest, AResumedRunIsTheSameBits) {
  const PromptDataset data = prompts(24, 4);
  OnlineOptions online = short_;
  online.steps_per_generation = 4;  // two steps
  online.num_iterations = 2;
  const GrpoOptions method{.beta = 0.04};
  const std::string whole = folder_.file("whole"), parts = folder_.file("parts");
  CausalLM first = lora(0.1);
  Trainer(first, data, method, {kLettersOfRow}, online, steps(7, whole)).train();
  CausalLM second = lora(0.1);
  TrainingOptions options = steps(7, parts);
  TrainingCallbacks stop{.on_step = [](const TrainingStep& step, TrainingControl& control) {
    control.stop = step.step == 3;  // in the middle of a generation's second use
  }};
  Trainer(second, data, method, {kLettersOfRow}, online, options, stop).train();
  CausalLM third = lora(0.1);
  options.resume_from_checkpoint = "latest";
  Trainer(third, data, method, {kLettersOfRow}, online, options).train();
  EXPECT_TRUE(same_bits(copy_weights(first), copy_weights(third)));
  EXPECT_FALSE(same_bits(copy_weights(first), copy_weights(second)));
  EXPECT_EQ(losses(whole), losses(parts));
  // Other options make other data.
  online.temperature = 0.5f;
  CausalLM fourth = lora(0.1);
  expect_error(ErrorKind::usage, "", [&] { Trainer(fourth, data, method, {kLettersOfRow}, online, options).train(); });
}

TEST_F(OnlineTest, StepsOnOneGenerationMoveTheRatio) {
  CausalLM model = full();
  OnlineOptions online = short_;
  online.num_iterations = 3;
  Trainer trainer(model, prompts(8), GrpoOptions{.epsilon = 0.001}, {kLettersOfRow}, online, steps(6), recording());
  const auto done = run(trainer);
  for (const std::size_t fresh : {0u, 3u}) {
    EXPECT_TRUE(done[fresh].contains("reward"));
    EXPECT_EQ(done[fresh].at("clip_ratio/region_mean"), 0);
    EXPECT_FALSE(done[fresh + 1].contains("reward"));
    EXPECT_GT(done[fresh + 2].at("clip_ratio/region_mean"), 0);
  }
}

// Frequencies depend on the length: no two completions see the same prompt, and each has its own.
TEST_F(OnlineTest, RopeThatDependsOnTheLengthTrains) {
  std::string config = read_text(path_ + "/config.json");
  const auto replace = [&](const std::string& what, const std::string& by) {
    config.replace(config.find(what), what.size(), by);
  };
  replace(R"("rope_type": "default")", R"("rope_type": "dynamic", "factor": 4.0)");
  replace(R"("max_position_embeddings": 64)", R"("max_position_embeddings": 10)");
  folder_.write("model/config.json", config);
  CausalLM model = full();
  ASSERT_FALSE(may_share_prompts(model));
  EXPECT_TRUE(may_share_prompts(CausalLM::from_pretrained(POWERHOUSE_FIXTURES "/model/tiny_gqa")));
  Trainer trainer(model, prompts(8), GrpoOptions{.beta = 0.1}, {kLettersOfRow}, short_, steps(3), recording());
  const auto found = run(trainer);
  ASSERT_EQ(found.size(), 3u);
  for (const auto& step : found) {
    EXPECT_GT(step.at("grad_norm"), 0);
    EXPECT_FALSE(step.contains("skipped"));
  }
}

TEST_F(OnlineTest, AnEntropyBonusKeepsTheEntropyUp) {
  std::vector<double> entropies;
  for (const double coefficient : {0.0, 1.0}) {
    CausalLM model = full();
    Trainer trainer(model, prompts(40), GrpoOptions{.entropy_coef = coefficient}, {constant("none", 1)}, short_,
                    steps(20), recording());
    entropies.push_back(run(trainer).back().at("entropy"));
  }
  EXPECT_GT(entropies[1], entropies[0] + 0.01);
}

TEST_F(OnlineTest, EqualRewardsMoveNothing) {
  CausalLM model = full();
  const Weights before = copy_weights(model);
  Trainer trainer(model, prompts(8), GrpoOptions{}, {constant("flat", 0.5)}, short_, steps(2), recording());
  const auto done = run(trainer);
  EXPECT_EQ(done[0].at("frac_reward_zero_std"), 1);
  EXPECT_EQ(done[0].at("loss"), 0);
  EXPECT_EQ(done[0].at("grad_norm"), 0);
  EXPECT_TRUE(same_bits(before, copy_weights(model)));
}

TEST_F(OnlineTest, RewardsThatAreNaNAreLeftOut) {
  CausalLM model = full();
  const RewardFunction some{"some", [](std::span<const Completion> all) {
                              std::vector<double> rewards = letters_of_row(all);
                              for (std::size_t i = 0; i < rewards.size(); i += 2) rewards[i] = kNaN;
                              return rewards;
                            }};
  Trainer trainer(model, prompts(8), GrpoOptions{.reward_weights = {1, 2}}, {some, constant("none", kNaN)}, short_,
                  steps(2), recording());
  const auto done = run(trainer);
  EXPECT_TRUE(std::isfinite(done[1].at("loss")));
  EXPECT_TRUE(done[0].contains("rewards/some/mean"));
  EXPECT_FALSE(done[0].contains("rewards/none/mean"));
  CausalLM other = full();
  Trainer nothing(other, prompts(8), GrpoOptions{}, {constant("none", kNaN)}, short_, steps(2));
  expect_error(ErrorKind::numeric, "rewards", [&] { nothing.train(); });
  Trainer infinite(other, prompts(8), RlooOptions{}, {constant("much", INFINITY)}, short_, steps(2));
  expect_error(ErrorKind::numeric, "rewards[0]", [&] { infinite.train(); });
  const RewardFunction few{"few", [](std::span<const Completion>) { return std::vector<double>{1}; }};
  Trainer short_of(other, prompts(8), GrpoOptions{}, {few}, short_, steps(2));
  expect_error(ErrorKind::usage, "few", [&] { short_of.train(); });
}

TEST_F(OnlineTest, CompletionsThatAreCutOffAreMasked) {
  OnlineOptions online = short_;
  online.mask_truncated_completions = true;
  online.max_completion_length = 1;  // nearly all
  CausalLM model = full();
  Trainer trainer(model, prompts(40), GrpoOptions{}, {kLettersOfRow}, online, steps(8), recording());
  const auto done = run(trainer);
  std::int64_t skipped = 0;
  for (const auto& step : done) {
    skipped += step.contains("skipped") ? 1 : 0;
    if (step.contains("skipped")) continue;
    EXPECT_GT(step.at("completions/clipped_ratio"), 0.7);
  }
  EXPECT_GT(skipped, 0);
  EXPECT_LT(skipped, 8) << "the test wants both kinds";
}

TEST_F(OnlineTest, AnEvaluationIsTheSameTwice) {
  CausalLM model = full();
  Trainer trainer(model, prompts(20, 6), GrpoOptions{}, {kLettersOfRow}, short_, steps(2));
  const Evaluation first = trainer.evaluate(), second = trainer.evaluate();
  EXPECT_EQ(first.metrics, second.metrics);
  const std::map<std::string, double> metrics(first.metrics.begin(), first.metrics.end());
  EXPECT_EQ(first.eval_loss, -metrics.at("reward"));
  EXPECT_GT(first.target_tokens, 24);
}

TEST_F(OnlineTest, OptionsThatDoNotFitAreNamed) {
  CausalLM model = full();
  const auto wrong = [&](const char* field, OnlineOptions online, OnlineMethod method = GrpoOptions{},
                         std::vector<RewardFunction> rewards = {kLettersOfRow}) {
    expect_error(ErrorKind::usage, field, [&] { Trainer(model, prompts(8), method, rewards, online, steps(2)); });
  };
  wrong("num_generations", {.num_generations = 1});
  wrong("num_generations", {.num_generations = 3});
  wrong("num_iterations", {.num_iterations = 0});
  wrong("temperature", {.temperature = 0});
  wrong("ref_model", {.sync_ref_model = true});
  wrong("rewards", {}, GrpoOptions{}, {});
  wrong("rewards", {}, GrpoOptions{}, {kLettersOfRow, kLettersOfRow});
  wrong("data", {.steps_per_generation = 1000});
  expect_error(ErrorKind::range, "max_completion_length", [&] {
    Trainer(model, prompts(8), GrpoOptions{}, {kLettersOfRow}, {.max_completion_length = 0}, steps(2));
  });
}

}  // namespace
}  // namespace powerhouse::testing
