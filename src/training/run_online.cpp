#include "training/run_online.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <filesystem>

#include "powerhouse/error.h"
#include "powerhouse/verifiable_rewards.h"
#include "training/online_method.h"
#include "training/reward_folder.h"
#include "training/run_model.h"
#include "training/run_options.h"

namespace powerhouse {
namespace {

constexpr std::string_view kThink = "think_format_reward", kOverlong = "get_soft_overlong_punishment",
                           kRepetition = "get_repetition_penalty_reward";
constexpr std::int64_t kSoftPunishCache = 256;  // of TRL's script

// Whether a field of OnlineRun says something.
struct Given {
  const TrainingRun& run;

  template <typename T>
  bool operator()(std::optional<T> OnlineRun::*member) const {
    return (run.online.*member).has_value();
  }
  template <typename T>
  bool operator()(T OnlineRun::*member) const {
    return !(run.online.*member).empty();
  }
  bool operator()(const KeyReader& reader) const { return reader.given != nullptr && reader.given(run); }
  template <typename T>
  bool operator()(T TrainingRun::*) const {
    return false;
  }
};

bool names(const TrainingRun& run, std::string_view function) {
  const auto& all = run.online.reward_funcs;
  return std::find(all.begin(), all.end(), function) != all.end();
}

std::size_t reward_count(const TrainingRun& run) {
  return run.online.reward_funcs.size() + (run.online.reward_model_path.empty() ? 0 : 1);
}

std::int64_t soft_punish_cache(const TrainingRun& run) {
  return run.online.soft_punish_cache.value_or(kSoftPunishCache);
}

// Folders among the rewards, the first one first.
std::vector<std::string> reward_models(const TrainingRun& run) {
  std::vector<std::string> paths;
  if (!run.online.reward_model_path.empty()) paths.push_back(run.online.reward_model_path);
  for (const std::string& name : run.online.reward_funcs) {
    if (name != kThink && name != kOverlong && name != kRepetition) paths.push_back(name);
  }
  return paths;
}

struct OnlineChecks : RunChecks {
  void keys() const {
    const std::string why = run.rl.empty() ? "has no effect without rl" : "has no effect: rl is " + run.rl;
    for (const RunKey& key : online_keys()) {
      refuse(!has_word(key.methods, run.rl) && std::visit(Given{run}, key.field), key.name, why);
    }
  }

  void rewards() const {
    refuse(reward_count(run) == 0, "reward_funcs", "missing: what judges completions (or reward_model_path)");
    for (const std::string& name : run.online.reward_funcs) {
      if (name != "accuracy_reward" && name != "reasoning_accuracy_reward") continue;
      throw Error(ErrorKind::unsupported, "needs a reader of mathematics; a function in C++ can judge answers",
                  {.file = origin, .field = "reward_funcs", .found = name});
    }
    refuse(!run.online.reward_weights.empty() && run.online.reward_weights.size() != reward_count(run),
           "reward_weights", "one for each of " + std::to_string(reward_count(run)) + " rewards");
    refuse(run.online.soft_punish_cache && !names(run, kOverlong), "soft_punish_cache",
           "has no effect without get_soft_overlong_punishment");
    refuse(names(run, kOverlong) && soft_punish_cache(run) > online_options(run).max_completion_length,
           "soft_punish_cache", "must be at most max_completion_length; default: 256");
    refuse((run.online.ngram_size || run.online.max_penalty) && !names(run, kRepetition), "ngram_size",
           "has no effect without get_repetition_penalty_reward");
    refuse(!run.online.reward_clip_range.empty() && run.online.reward_clip_range.size() != 2, "reward_clip_range",
           "two numbers");
  }

  void models() const {
    refuse(!run.ref_model.empty() && !online_has_reference(run), "ref_model",
           "has no effect: nothing compares with it");
    refuse(run.sync_ref_model && !online_has_reference(run), "sync_ref_model",
           "has no effect: nothing compares with the reference");
    refuse(run.rl == "ppo" && run.online.value_model.empty() && reward_models(run).empty(), "value_model",
           "missing: no reward model is there to begin with");
    refuse(run.eval_batch_size != 0, "eval_batch_size",
           "has no effect with rl: " + run.rl + ": num_generations_eval says what an evaluation samples");
  }

  void data() const {
    for (const auto* sources : {&run.datasets, &run.test_datasets}) {
      for (const DatasetSource& source : *sources) {
        refuse(!source.type.empty(), "datasets.type", "has no effect with rl: " + run.rl + ": rows have a prompt");
      }
    }
  }

  // As the trainer would find it, before anything is loaded.
  void options() const {
    try {
      const OnlineMethod method = online_method(run);
      std::visit([](const auto& own) { check(own); }, method);
      generation_shape(method, online_options(run), run.micro_batch_size, run.gradient_accumulation_steps);
    } catch (const Error& error) {
      throw Error(ErrorKind::format, error.message(),
                  {.file = origin, .field = error.field(), .expected = error.expected(), .found = error.found()});
    }
  }
};

GrpoOptions grpo_options(const TrainingRun& run) {
  const OnlineRun& own = run.online;
  GrpoOptions grpo{.epsilon_high = own.epsilon_high,
                   .delta = own.delta,
                   .off_policy_mask_threshold = own.off_policy_mask_threshold,
                   .reward_weights = own.reward_weights};
  if (!run.loss_type.empty()) grpo.loss_type = parse_grpo_loss_type(run.loss_type.front());
  if (!own.importance_sampling_level.empty())
    grpo.importance_sampling_level = parse_importance_sampling(own.importance_sampling_level);
  if (!own.scale_rewards.empty()) grpo.scale_rewards = parse_scale_rewards(own.scale_rewards);
  if (!own.multi_objective_aggregation.empty())
    grpo.multi_objective_aggregation = parse_reward_aggregation(own.multi_objective_aggregation);
  take_given(grpo.beta, run.rl_beta);
  take_given(grpo.use_bias_correction_kl, own.use_bias_correction_kl);
  take_given(grpo.epsilon, own.epsilon);
  take_given(grpo.max_completion_length, own.max_completion_length);
  take_given(grpo.sapo_temperature_pos, own.sapo_temperature_pos);
  take_given(grpo.sapo_temperature_neg, own.sapo_temperature_neg);
  take_given(grpo.vespo_k_pos, own.vespo_k_pos);
  take_given(grpo.vespo_lambda_pos, own.vespo_lambda_pos);
  take_given(grpo.vespo_k_neg, own.vespo_k_neg);
  take_given(grpo.vespo_lambda_neg, own.vespo_lambda_neg);
  take_given(grpo.top_entropy_quantile, own.top_entropy_quantile);
  take_given(grpo.entropy_coef, own.entropy_coef);
  return grpo;
}

RlooOptions rloo_options(const TrainingRun& run) {
  const OnlineRun& own = run.online;
  RlooOptions rloo{.epsilon_high = own.epsilon_high, .reward_weights = own.reward_weights};
  if (!own.rloo_objective.empty()) rloo.objective = parse_rloo_objective(own.rloo_objective);
  if (own.reward_clip_range.size() == 2) rloo.reward_clip_range = {own.reward_clip_range[0], own.reward_clip_range[1]};
  take_given(rloo.beta, run.rl_beta);
  take_given(rloo.epsilon, own.epsilon);
  take_given(rloo.normalize_advantages, own.normalize_advantages);
  return rloo;
}

PpoOptions ppo_options(const TrainingRun& run) {
  const OnlineRun& own = run.online;
  PpoOptions ppo{.missing_eos_penalty = own.missing_eos_penalty};
  take_given(ppo.kl_coef, own.kl_coef);
  if (!own.kl_estimator.empty()) ppo.kl_estimator = parse_kl_estimator(own.kl_estimator);
  take_given(ppo.gamma, own.gamma);
  take_given(ppo.lam, own.lam);
  take_given(ppo.cliprange, own.cliprange);
  if (own.cliprange_value) ppo.cliprange_value = own.cliprange_value;
  if (own.cliprange_value == 0.0) ppo.cliprange_value.reset();
  take_given(ppo.vf_coef, own.vf_coef);
  take_given(ppo.entropy_coef, own.entropy_coef);
  take_given(ppo.whiten_rewards, own.whiten_rewards);
  take_given(ppo.whiten_advantages, own.whiten_advantages);
  return ppo;
}

RewardFunction model_reward(const std::string& path, const CausalLM& policy, std::deque<SequenceClassifier>& models) {
  const RewardFolder folder = RewardFolder::of(path);
  models.push_back(folder.open(policy));
  if (models.back().num_labels() != 1) {
    throw Error(ErrorKind::usage, "a reward is one number: the head must have one label",
                {.field = path, .found = std::to_string(models.back().num_labels())});
  }
  const std::string name = std::filesystem::weakly_canonical(path).filename().string();
  return reward_function(name, models.back(), folder.tokenizer());
}

}  // namespace

bool is_online(const std::string& rl) { return rl == "grpo" || rl == "rloo" || rl == "ppo"; }

void check_online(const TrainingRun& run, const std::string& origin) {
  const OnlineChecks checks{{run, origin}};
  checks.keys();
  if (!is_online(run.rl)) return;
  checks.rewards();
  checks.models();
  checks.data();
  checks.options();
}

OnlineMethod online_method(const TrainingRun& run) {
  if (run.rl == "rloo") return rloo_options(run);
  if (run.rl == "ppo") return ppo_options(run);
  return grpo_options(run);
}

OnlineOptions online_options(const TrainingRun& run) {
  const OnlineRun& own = run.online;
  OnlineOptions online{.num_generations = own.num_generations,
                       .num_generations_eval = own.num_generations_eval,
                       .num_iterations = own.num_iterations,
                       .disable_dropout = run.disable_dropout.value_or(false),
                       .sync_ref_model = run.sync_ref_model};
  take_given(online.max_completion_length, own.max_completion_length);
  take_given(online.temperature, own.temperature);
  take_given(online.top_p, own.top_p);
  take_given(online.top_k, own.top_k);
  take_given(online.min_p, own.min_p);
  take_given(online.repetition_penalty, own.repetition_penalty);
  take_given(online.steps_per_generation, own.steps_per_generation);
  if (own.num_mini_batches) online.steps_per_generation = *own.num_mini_batches * run.gradient_accumulation_steps;
  take_given(online.mask_truncated_completions, own.mask_truncated_completions);
  take_given(online.ref_model_mixup_alpha, run.ref_model_mixup_alpha);
  take_given(online.ref_model_sync_steps, run.ref_model_sync_steps);
  return online;
}

PromptDatasetOptions prompt_dataset_options(const TrainingRun& run) {
  return {.max_prompt_length = run.sequence_len,
          .chat_template = chat_template_source(run.chat_template, run.chat_template_jinja),
          .val_set_size = run.val_set_size,
          .seed = run.seed};
}

bool online_has_reference(const TrainingRun& run) {
  if (run.rl == "grpo") return grpo_options(run).beta != 0;
  if (run.rl == "rloo") return rloo_options(run).beta != 0;
  return run.rl == "ppo" && ppo_options(run).kl_coef != 0;
}

RunRewards run_rewards(const TrainingRun& run, const CausalLM& policy) {
  RunRewards out;
  std::vector<std::string> names = run.online.reward_funcs;
  if (!run.online.reward_model_path.empty()) names.insert(names.begin(), run.online.reward_model_path);
  for (const std::string& name : names) {
    if (name == kThink) {
      out.functions.push_back(think_format_reward());
    } else if (name == kOverlong) {
      out.functions.push_back(
          soft_overlong_punishment_reward(online_options(run).max_completion_length, soft_punish_cache(run)));
    } else if (name == kRepetition) {
      out.functions.push_back(
          repetition_penalty_reward(run.online.ngram_size.value_or(3), run.online.max_penalty.value_or(-1)));
    } else {
      out.functions.push_back(model_reward(name, policy, out.models));
    }
  }
  return out;
}

std::optional<SequenceClassifier> run_value_model(const TrainingRun& run, const CausalLM& policy,
                                                  const Tokenizer& tokenizer) {
  if (run.rl != "ppo") return std::nullopt;
  TrainingRun own = run;
  const RewardFolder start =
      RewardFolder::of(run.online.value_model.empty() ? reward_models(run).front() : run.online.value_model);
  own.base_model = start.base;
  own.lora_model_dir = start.adapter;
  if (run.adapter.empty() && !start.adapter.empty()) {
    throw Error(ErrorKind::usage, "an adapter's folder, and all parameters are trained: merge it first",
                {.file = start.adapter, .field = "value_model"});
  }
  SequenceClassifier model = run_classifier(own, tokenizer, {});
  if (model.model().config().vocab_size != policy.config().vocab_size) {
    throw Error(ErrorKind::usage, "another vocabulary than the policy's: the value model reads the policy's tokens",
                {.field = "value_model",
                 .expected = std::to_string(policy.config().vocab_size),
                 .found = std::to_string(model.model().config().vocab_size)});
  }
  return model;
}

}  // namespace powerhouse
