// GRPO, RLOO and PPO from YAML: keys and what they become, and whole runs that are the trainer's own, bit for bit.
#include <gmock/gmock.h>

#include <filesystem>

#include "expect_error.h"
#include "powerhouse/training_run.h"
#include "powerhouse/verifiable_rewards.h"
#include "support/json.h"
#include "support/mapped_file.h"
#include "training/run_online.h"
#include "training/run_options.h"
#include "training/trainer_fixture.h"

namespace powerhouse {
namespace {

using testing::copy_weights;
using testing::expect_error;
using ::testing::HasSubstr;
using testing::largest_difference;
using testing::same_bits;

TrainingRun parse(const std::string& more) {
  return parse_training_run("base_model: m\nmicro_batch_size: 8\ndatasets:\n  - path: d.jsonl\n" + more, "run.yaml");
}

TEST(OnlineKeys, AreTrls) {
  const auto grpo = std::get<GrpoOptions>(online_method(
      parse("rl: grpo\nbeta: 0.04\nloss_type: dr_grpo\nepsilon: 0.1\nepsilon_high: 0.3\nscale_rewards: false\n"
            "reward_funcs: [think_format_reward, folder]\nreward_weights: [1, 0.5]\ntop_entropy_quantile: 0.2\n"
            "entropy_coef: 0.01\nimportance_sampling_level: sequence\nmax_completion_length: 64\n"
            "use_bias_correction_kl: false\nmulti_objective_aggregation: normalize_then_sum\n")));
  EXPECT_EQ(grpo.beta, 0.04);
  EXPECT_EQ(grpo.loss_type, GrpoLossType::dr_grpo);
  EXPECT_EQ(grpo.epsilon, 0.1);
  EXPECT_EQ(grpo.epsilon_high, 0.3);
  EXPECT_EQ(grpo.scale_rewards, ScaleRewards::none);
  EXPECT_EQ(grpo.reward_weights, (std::vector{1.0, 0.5}));
  EXPECT_EQ(grpo.top_entropy_quantile, 0.2);
  EXPECT_EQ(grpo.entropy_coef, 0.01);
  EXPECT_EQ(grpo.importance_sampling_level, ImportanceSampling::sequence);
  EXPECT_EQ(grpo.max_completion_length, 64);
  EXPECT_FALSE(grpo.use_bias_correction_kl);
  EXPECT_EQ(grpo.multi_objective_aggregation, RewardAggregation::normalize_then_sum);

  const TrainingRun sampled = parse(
      "rl: rloo\nreward_model_name_or_path: r\ntemperature: 0.7\ntop_p: 0.9\ntop_k: 50\nmin_p: 0.1\n"
      "repetition_penalty: 1.1\nnum_generations: 4\nnum_generations_eval: 2\nsteps_per_generation: 3\n"
      "num_iterations: 2\nmask_truncated_completions: true\nnormalize_advantages: true\n"
      "reward_clip_range: [-1, 2]\nrloo_objective: reinforce\ndisable_dropout: true\nsequence_len: 77\n");
  const auto rloo = std::get<RlooOptions>(online_method(sampled));
  EXPECT_EQ(rloo.beta, 0.05);
  EXPECT_EQ(rloo.objective, RlooObjective::reinforce);
  EXPECT_TRUE(rloo.normalize_advantages);
  EXPECT_EQ(rloo.reward_clip_range, std::pair(-1.0, 2.0));
  const OnlineOptions online = online_options(sampled);
  EXPECT_EQ(online.temperature, 0.7f);
  EXPECT_EQ(online.top_p, 0.9f);
  EXPECT_EQ(online.top_k, 50);
  EXPECT_EQ(online.min_p, 0.1f);
  EXPECT_EQ(online.repetition_penalty, 1.1f);
  EXPECT_EQ(online.num_generations, 4);
  EXPECT_EQ(online.num_generations_eval, 2);
  EXPECT_EQ(online.steps_per_generation, 3);
  EXPECT_EQ(online.num_iterations, 2);
  EXPECT_TRUE(online.mask_truncated_completions);
  EXPECT_TRUE(online.disable_dropout);
  EXPECT_EQ(prompt_dataset_options(sampled).max_prompt_length, 77);

  const TrainingRun proximal = parse(
      "rl: ppo\nreward_model_path: r\nkl_coef: 0.1\nkl_estimator: k3\ngamma: 0.99\nlam: 0.9\ncliprange: 0.3\n"
      "cliprange_value: 0\nvf_coef: 0.5\nnum_ppo_epochs: 2\nnum_mini_batches: 3\nwhiten_rewards: true\n"
      "whiten_advantages: false\nmissing_eos_penalty: 1\nresponse_length: 53\ngradient_accumulation_steps: 4\n");
  const auto ppo = std::get<PpoOptions>(online_method(proximal));
  EXPECT_EQ(ppo.kl_coef, 0.1);
  EXPECT_EQ(ppo.kl_estimator, KlEstimator::k3);
  EXPECT_EQ(ppo.gamma, 0.99);
  EXPECT_EQ(ppo.lam, 0.9);
  EXPECT_EQ(ppo.cliprange, 0.3);
  EXPECT_EQ(ppo.cliprange_value, std::nullopt);
  EXPECT_EQ(ppo.vf_coef, 0.5);
  EXPECT_TRUE(ppo.whiten_rewards);
  EXPECT_FALSE(ppo.whiten_advantages);
  EXPECT_EQ(ppo.missing_eos_penalty, 1);
  EXPECT_EQ(online_options(proximal).max_completion_length, 53);
  EXPECT_EQ(online_options(proximal).num_iterations, 2);
  EXPECT_EQ(online_options(proximal).steps_per_generation, 12);
  EXPECT_FALSE(online_options(proximal).disable_dropout);
}

TEST(OnlineKeys, AxolotlsMappingIsRead) {
  const TrainingRun run = parse(
      "rl: grpo\ntrl:\n  beta: 0.001\n  use_vllm: true\n  vllm_mode: colocate\n  num_generations: 4\n"
      "  reward_funcs: [think_format_reward]\n");
  EXPECT_EQ(std::get<GrpoOptions>(online_method(run)).beta, 0.001);
  EXPECT_EQ(run.online.num_generations, 4);
  EXPECT_EQ(run.notices.size(), 2u);
  expect_error(ErrorKind::format, "trl.beta", [] { parse("rl: grpo\nbeta: 1\ntrl:\n  beta: 0.1\n"); });
  expect_error(ErrorKind::format, "a mapping", [] { parse("rl: grpo\ntrl: 3\n"); });
}

TEST(OnlineKeys, WhatDoesNotFitIsRefused) {
  const auto refused = [](const char* what, const std::string& yaml, ErrorKind kind = ErrorKind::format) {
    expect_error(kind, what, [&] { parse(yaml); });
  };
  const std::string grpo = "rl: grpo\nreward_funcs: [think_format_reward]\n", ppo = "rl: ppo\nreward_model_path: r\n";
  refused("num_generations: has no effect without rl", "num_generations: 4\n");
  refused("has no effect: rl is dpo", "rl: dpo\ntemperature: 0.7\n");
  refused("has no effect: rl is grpo", grpo + "kl_coef: 0.1\n");
  refused("has no effect: rl is ppo", ppo + "rl_beta: 0.1\n");
  refused("has no effect: rl is ppo", ppo + "reward_weights: [1]\n");
  refused("has no effect: rl is grpo", grpo + "precompute_ref_log_probs: true\n");
  refused("reward_funcs: missing", "rl: grpo\n");
  refused("accuracy_reward", "rl: grpo\nreward_funcs: [accuracy_reward]\n", ErrorKind::unsupported);
  refused("one for each", grpo + "reward_weights: [1, 2]\n");
  refused("soft_punish_cache", grpo + "soft_punish_cache: 3\n");
  refused("at most max_completion_length",
          "rl: grpo\nreward_funcs: [get_soft_overlong_punishment]\n"
          "max_completion_length: 100\n");
  refused("ngram_size", grpo + "max_penalty: -2\n");
  refused("nothing compares", grpo + "ref_model: m\n");
  refused("value_model: missing", "rl: ppo\nreward_funcs: [think_format_reward]\n");
  refused("must divide the 8 completions", grpo + "num_generations: 3\n");
  refused("temperature", grpo + "temperature: 0\n");
  refused("epsilon", grpo + "epsilon: 1\n");
  refused("loss_type", grpo + "loss_type: grop\n");
  refused("token, sequence", grpo + "importance_sampling_level: word\n");
  refused("group, batch, none", grpo + "scale_rewards: all\n");
  refused("two numbers", "rl: rloo\nreward_model_path: r\nreward_clip_range: [1]\n");
  refused("eval_batch_size", grpo + "eval_batch_size: 2\n");
  refused("not packed", grpo + "sample_packing: true\n");
  refused("longer prompts are left out", grpo + "excess_length_strategy: truncate\n");
  refused("say steps_per_generation", grpo + "generation_batch_size: 8\n", ErrorKind::unsupported);
  expect_error(ErrorKind::format, "rows have a prompt", [&] {
    parse_training_run("base_model: m\nmicro_batch_size: 8\ndatasets:\n  - {path: d, type: alpaca}\n" + grpo,
                       "run.yaml");
  });
}

TEST(VerifiableRewards, AreTrls) {
  const Json trl = Json::parse_file(POWERHOUSE_FIXTURES "/training/reward_functions.json");
  std::vector<Completion> texts, ids;
  for (const Json& text : trl.at("texts").as_array()) texts.push_back({.text = text.as_string()});
  for (const Json& list : trl.at("ids").as_array()) {
    ids.emplace_back();
    for (const Json& id : list.as_array()) ids.back().ids.push_back(id.as_integer());
  }
  const auto expect_rewards = [](const RewardFunction& function, const std::vector<Completion>& all, const Json& want) {
    const std::vector<double> found = function.judge(all);
    ASSERT_EQ(found.size(), want.as_array().size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(found[i], want.as_array()[i].as_double()) << function.name << " " << i;
    }
  };
  expect_rewards(think_format_reward(), texts, trl.at("think_format_reward"));
  for (const Json& own : trl.at("soft_overlong_punishment").as_array()) {
    expect_rewards(soft_overlong_punishment_reward(own.at("max_completion_len").as_integer(),
                                                   own.at("soft_punish_cache").as_integer()),
                   ids, own.at("rewards"));
  }
  for (const Json& own : trl.at("repetition_penalty").as_array()) {
    expect_rewards(repetition_penalty_reward(own.at("ngram_size").as_integer(), own.at("max_penalty").as_double()), ids,
                   own.at("rewards"));
  }
  expect_error(ErrorKind::range, "soft_punish_cache", [] { soft_overlong_punishment_reward(3, -1); });
  expect_error(ErrorKind::range, "ngram_size", [] { repetition_penalty_reward(0); });
  expect_error(ErrorKind::range, "max_penalty", [] { repetition_penalty_reward(3, 1); });
}

class OnlineRuns : public testing::TrainerTest {
 protected:
  OnlineRuns() {
    std::string lines;
    for (int i = 0; i < 12; ++i) lines += R"({"prompt": "say )" + std::to_string(i) + ":\"}\n";
    data_ = folder_.write("prompts.jsonl", lines);
  }
  TrainingRun parsed(const std::vector<std::string>& overrides) {
    const std::string yaml = "base_model: " + path_ +
                             "\nadapter: lora\nlora_target_linear: true\nbf16: false\nmicro_batch_size: 4\n"
                             "gradient_accumulation_steps: 2\nlearning_rate: 1e-3\nmax_completion_length: 8\n"
                             "num_generations: 4\nmax_steps: 4\nsave_strategy: steps\nsave_steps: 2\noutput_dir: " +
                             out_ + "\nreward_model_path: " + judge_ + "\ndatasets:\n  - path: " + data_ + "\n";
    return parse_training_run(yaml, "run.yaml", overrides);
  }
  testing::Weights weights(const std::string& folder) {
    CausalLM model = CausalLM::from_pretrained(path_, {.dtype = Dtype::f32});
    model.load_adapter(folder, "default", true);
    return copy_weights(model);
  }

  std::string data_, judge_ = POWERHOUSE_FIXTURES "/training/judge", out_ = folder_.file("out");
};

// A folder that transformers wrote judges as transformers does (tests/oracles/online_runs.py).
TEST_F(OnlineRuns, AFolderIsAReward) {
  const CausalLM policy = CausalLM::from_pretrained(path_, {.dtype = Dtype::f32});
  const RunRewards rewards = run_rewards(parsed({"rl=grpo"}), policy);
  ASSERT_EQ(rewards.functions.size(), 1u);
  EXPECT_EQ(rewards.functions[0].name, "judge");
  const Json rows = Json::parse_file(judge_ + "/rewards.json");
  for (const Json& row : rows.as_array()) {
    std::string text = row.at("completion").as_string();
    const bool ended = text.ends_with("</s>");
    if (ended) text.resize(text.size() - 4);
    const std::vector<Completion> one{{.prompt = row.at("prompt").as_string(), .text = text, .ended = ended}};
    EXPECT_NEAR(rewards.functions[0].judge(one)[0], row.at("reward").as_double(), 1e-5) << text;
  }
}

TEST_F(OnlineRuns, EveryMethodRunsFromYaml) {
  for (const char* method : {"grpo", "rloo", "ppo"}) {
    SCOPED_TRACE(method);
    std::filesystem::remove_all(out_);
    const TrainingResult result =
        train(parsed({std::string("rl=") + method, "val_set_size=2", "reward_funcs=[get_repetition_penalty_reward]"}));
    EXPECT_EQ(result.steps, 4);
    const std::vector<Json> log = read_rows(out_ + "/train_log.jsonl");
    EXPECT_NE(log.back().get("eval_reward"), nullptr);
    EXPECT_NE(log[1].get("rewards/judge/mean"), nullptr);
    EXPECT_NE(log[1].get("rewards/repetition_penalty_reward/mean"), nullptr);
    EXPECT_NE(log[1].get("completions/mean_length"), nullptr);
    // Trainer and sampler mean the same tokens, whatever the order of rows.
    if (std::string(method) != "grpo") {
      const Json* difference = log[1].get("sampling/sampling_logp_difference/max");
      ASSERT_NE(difference, nullptr);
      EXPECT_LT(difference->as_double(), 1e-4);
    }
    EXPECT_TRUE(std::filesystem::exists(out_ + "/adapter_model.safetensors"));
    EXPECT_THAT(read_text(out_ + "/report.html", 1 << 24), HasSubstr("<h2>rewards/judge/mean</h2>"));
  }
}

// What the YAML makes is what the same options make in C++.
TEST_F(OnlineRuns, AYamlIsItsOptions) {
  const TrainingRun run = parsed({"rl=grpo", "beta=0.1", "temperature=0.8", "entropy_coef=0.01"});
  train(run);
  CausalLM model = CausalLM::from_pretrained(path_, {.dtype = Dtype::f32});
  model.add_adapter("default", {.rank = 8, .alpha = 8, .target_modules = {"all-linear"}, .seed = 42});
  const SequenceClassifier judge = SequenceClassifier::from_pretrained(judge_, {.dtype = Dtype::f32});
  const PromptDataset prompts = PromptDataset::open(tokenizer_, {{.path = data_}}, {.max_prompt_length = 512});
  TrainingOptions options = training_options(run);
  options.output_dir.clear();
  options.save = {};
  Trainer(model, prompts, std::nullopt, GrpoOptions{.beta = 0.1, .max_completion_length = 8, .entropy_coef = 0.01},
          {reward_function("judge", judge, tokenizer_)},
          {.num_generations = 4, .max_completion_length = 8, .temperature = 0.8f}, options)
      .train();
  EXPECT_TRUE(same_bits(weights(out_), copy_weights(model)));
}

TEST_F(OnlineRuns, AResumedRunIsTheSameBits) {
  for (const char* method : {"grpo", "ppo"}) {
    SCOPED_TRACE(method);
    std::filesystem::remove_all(out_);
    train(parsed({std::string("rl=") + method}));
    const std::string rest = folder_.file(std::string("rest_") + method);
    train(parsed(
        {std::string("rl=") + method, "output_dir=" + rest, "resume_from_checkpoint=" + out_ + "/checkpoint-2"}));
    EXPECT_TRUE(same_bits(weights(out_), weights(rest)));
  }
}

// What `rl: reward` leaves with an adapter: the adapter and the head. A fresh adapter adds nothing to its base.
TEST_F(OnlineRuns, AnAdapterWithItsHeadIsAReward) {
  SequenceClassifier judge = SequenceClassifier::from_causal_lm(path_, {.seed = 5}, {.dtype = Dtype::f32});
  const std::string whole = folder_.file("same"), adapter = folder_.file("adapter/same");
  judge.save_pretrained(whole);
  judge.model().add_adapter("default", {.rank = 4, .target_modules = {"all-linear"}});
  judge.model().save_adapter("default", adapter);
  for (const char* method : {"grpo", "ppo"}) {
    SCOPED_TRACE(method);
    std::vector<testing::Weights> found;
    for (const std::string& folder : {whole, adapter}) {
      std::filesystem::remove_all(out_);
      std::vector<std::string> keys{std::string("rl=") + method, "reward_model_path=" + folder};
      if (keys[0] == "rl=ppo") keys.push_back("value_model=" + whole);
      train(parsed(keys));
      found.push_back(weights(out_));
    }
    EXPECT_TRUE(same_bits(found[0], found[1]));
  }
  EXPECT_EQ(train(parsed({"rl=ppo", "reward_model_path=" + adapter, "lora_r=4"})).steps, 4);  // the value model too
  const std::string headless = folder_.file("headless");
  CausalLM plain = CausalLM::from_pretrained(path_, {.dtype = Dtype::f32});
  plain.add_adapter("default", {.rank = 4, .target_modules = {"all-linear"}});
  plain.save_adapter("default", headless);
  expect_error(ErrorKind::format, "without a head", [&] {
    train(parsed({"rl=grpo", "reward_model_path=" + headless}));
  });
}

TEST_F(OnlineRuns, ModelsThatDoNotFitAreNamed) {
  const SequenceClassifier two = SequenceClassifier::from_causal_lm(path_, {.num_labels = 2}, {.dtype = Dtype::f32});
  const std::string folder = folder_.file("two");
  two.save_pretrained(folder);
  expect_error(ErrorKind::usage, "one label", [&] { train(parsed({"rl=grpo", "reward_model_path=" + folder})); });
  expect_error(ErrorKind::not_found, "nowhere", [&] { train(parsed({"rl=grpo", "reward_model_path=nowhere"})); });
  expect_error(ErrorKind::range, "context", [&] {
    folder_.write("long.jsonl", "{\"prompt\": \"" + std::string(2000, 'a') + "\"}\n");
    train(parsed({"rl=grpo", "sequence_len=4000", "datasets.0.path=" + folder_.file("long.jsonl")}));
  });
}

}  // namespace
}  // namespace powerhouse
