#include "training/run_preference.h"

#include <algorithm>

#include "powerhouse/error.h"
#include "training/data/preference_shape.h"
#include "training/run_classification.h"
#include "training/run_config.h"
#include "training/run_online.h"
#include "training/run_options.h"

namespace powerhouse {
namespace {

bool given(const std::string& text) { return !text.empty(); }
bool given(bool flag) { return flag; }
template <typename T>
bool given(const std::optional<T>& value) {
  return value.has_value();
}
template <typename T>
bool given(const std::vector<T>& values) {
  return !values.empty();
}

struct MethodKey {
  std::string_view key, methods;  // "dpo|kto"
  bool given = false;
};

// Which methods have which keys.
std::vector<MethodKey> method_keys(const TrainingRun& run) {
  constexpr std::string_view kAll = "dpo|ipo|orpo|kto|cpo|simpo", kDpo = "dpo|ipo",
                             kReference = "dpo|ipo|kto|grpo|rloo|ppo";
  return {{"rl_beta", "dpo|ipo|orpo|kto|cpo|simpo|distill|grpo|rloo", given(run.rl_beta)},
          {"loss_type", "dpo|kto|cpo|grpo", given(run.loss_type)},
          {"loss_weights", "dpo", given(run.loss_weights)},
          {"label_smoothing", "dpo|cpo|simpo", given(run.label_smoothing)},
          {"f_divergence_type", kDpo, given(run.f_divergence_type)},
          {"f_alpha_divergence_coef", kDpo, given(run.f_alpha_divergence_coef)},
          {"ld_alpha", kDpo, given(run.ld_alpha)},
          {"discopop_tau", "dpo", given(run.discopop_tau)},
          {"use_weighting", kDpo, given(run.use_weighting)},
          {"desirable_weight", "kto", given(run.desirable_weight)},
          {"undesirable_weight", "kto", given(run.undesirable_weight)},
          {"cpo_alpha", "cpo|simpo", given(run.cpo_alpha)},
          {"simpo_gamma", "cpo|simpo", given(run.simpo_gamma)},
          {"alpha", "cpo|simpo", given(run.alpha)},
          {"nll", "orpo|cpo|simpo", given(run.nll)},
          {"bos_and_eos", "orpo|cpo|simpo", given(run.bos_and_eos)},
          {"center_rewards_coefficient", "reward", given(run.center_rewards_coefficient)},
          {"truncation_mode", kAll, run.truncation_mode != "keep_start"},
          {"ref_model", kReference, given(run.ref_model)},
          {"precompute_ref_log_probs", "dpo|ipo|kto", given(run.precompute_ref_log_probs)},
          {"precompute_ref_batch_size", kDpo, run.precompute_ref_batch_size != 0},
          {"sync_ref_model", kReference, given(run.sync_ref_model)},
          {"ref_model_mixup_alpha", kReference, given(run.ref_model_mixup_alpha)},
          {"ref_model_sync_steps", kReference, given(run.ref_model_sync_steps)},
          {"disable_dropout", "dpo|ipo|orpo|kto|cpo|simpo|reward|grpo|rloo|ppo", given(run.disable_dropout)}};
}

struct PreferenceChecks : RunChecks {
  void keys() const {
    for (const MethodKey& key : method_keys(run)) {
      if (run.rl.empty()) {
        const bool cuts = key.key == "truncation_mode" && classifies(run);
        refuse(key.given && !cuts, key.key, "has no effect without rl");
      } else {
        refuse(key.given && !has_word(key.methods, run.rl), key.key, "has no effect: rl is " + run.rl);
      }
    }
    refuse(run.loss_type.size() > 1 && run.rl != "dpo", "loss_type", "one loss: only dpo adds several up");
  }

  void together() const {
    refuse(run.sample_packing, "sample_packing", "rows are not packed with rl: " + run.rl);
    refuse(run.train_on_inputs, "train_on_inputs", "has no effect: prompts are never targets of " + run.rl);
    refuse(run.excess_length_strategy != "drop", "excess_length_strategy",
           is_online(run.rl) ? "has no effect with rl: longer prompts are left out"
                             : "has no effect with rl: truncation_mode says what is cut");
    refuse(run.min_sample_len != TrainingRun().min_sample_len, "min_sample_len", "has no effect with rl");
    refuse(!run.eot_tokens.empty(), "eot_tokens", "has no effect with rl");
    refuse(!run.precompute_ref_log_probs && run.precompute_ref_batch_size != 0, "precompute_ref_batch_size",
           "has no effect without precompute_ref_log_probs");
    for (const auto& [key, is_given] : {std::pair("ref_model_mixup_alpha", run.ref_model_mixup_alpha.has_value()),
                                        std::pair("ref_model_sync_steps", run.ref_model_sync_steps.has_value())}) {
      refuse(is_given && !run.sync_ref_model, key, "has no effect without sync_ref_model");
    }
  }

  // Options that none of the loss types asked for has.
  void loss_options() const {
    const auto any_of = [&](std::string_view names, std::string_view otherwise) {
      if (run.loss_type.empty()) return has_word(names, otherwise);
      return std::any_of(run.loss_type.begin(), run.loss_type.end(),
                         [&](const std::string& type) { return has_word(names, type); });
    };
    const bool cpo = run.rl == "cpo" || run.rl == "simpo";
    const std::string_view smoothed = cpo ? "sigmoid|simpo|alphapo" : "exo_pair|robust|aot|aot_unpaired|cdpo";
    refuse(run.label_smoothing.value_or(0) > 0 && !any_of(smoothed, "sigmoid"), "label_smoothing",
           "has no effect on this loss_type: " + std::string(smoothed) + " have it");
    refuse(run.discopop_tau && !any_of("discopop", ""), "discopop_tau", "has no effect without loss_type discopop");
    refuse(run.simpo_gamma && !any_of("simpo|alphapo", run.rl), "simpo_gamma", "has no effect without loss_type simpo");
    refuse(run.f_alpha_divergence_coef && run.f_divergence_type != "alpha_divergence", "f_alpha_divergence_coef",
           "has no effect without f_divergence_type alpha_divergence");
  }

  void types() const {
    if (is_online(run.rl)) return;  // run_online.cpp
    for (const auto* sources : {&run.datasets, &run.test_datasets}) {
      for (const DatasetSource& source : *sources) {
        const bool preference = source.type.empty() || training::is_preference_type(source.type);
        const bool no_preferences = run.rl.empty() || run.rl == "distill";
        const bool next_token = source.type.empty() || source.type == "chat_template" || !preference;
        refuse(no_preferences ? !next_token : !preference, "datasets.type",
               no_preferences ? source.type + " is a type of preferences, which need rl"
                              : source.type + " is no type of preferences");
      }
    }
  }
};

DpoOptions dpo_options(const TrainingRun& run) {
  DpoOptions dpo;
  if (run.rl == "ipo") dpo.loss_type = {DpoLossType::ipo};
  if (!run.loss_type.empty()) dpo.loss_type.clear();
  for (const std::string& name : run.loss_type) dpo.loss_type.push_back(parse_dpo_loss_type(name));
  dpo.loss_weights = run.loss_weights;
  take_given(dpo.beta, run.rl_beta);
  take_given(dpo.label_smoothing, run.label_smoothing);
  if (!run.f_divergence_type.empty()) dpo.f_divergence_type = parse_f_divergence(run.f_divergence_type);
  take_given(dpo.f_alpha_divergence_coef, run.f_alpha_divergence_coef);
  dpo.ld_alpha = run.ld_alpha;
  take_given(dpo.discopop_tau, run.discopop_tau);
  dpo.use_weighting = run.use_weighting;
  return dpo;
}

KtoOptions kto_options(const TrainingRun& run) {
  KtoOptions kto;
  if (!run.loss_type.empty()) kto.loss_type = parse_kto_loss_type(run.loss_type.front());
  take_given(kto.beta, run.rl_beta);
  take_given(kto.desirable_weight, run.desirable_weight);
  take_given(kto.undesirable_weight, run.undesirable_weight);
  return kto;
}

CpoOptions cpo_options(const TrainingRun& run) {
  CpoOptions cpo;
  if (run.rl == "simpo") cpo = {.loss_type = CpoLossType::simpo, .cpo_alpha = 0};
  if (!run.loss_type.empty()) set_cpo_loss_type(cpo, run.loss_type.front());
  take_given(cpo.beta, run.rl_beta);
  take_given(cpo.label_smoothing, run.label_smoothing);
  take_given(cpo.cpo_alpha, run.cpo_alpha);
  take_given(cpo.simpo_gamma, run.simpo_gamma);
  take_given(cpo.alpha, run.alpha);
  if (!run.nll.empty()) cpo.nll = parse_cpo_nll(run.nll);
  return cpo;
}

OrpoOptions orpo_options(const TrainingRun& run) {
  OrpoOptions orpo;
  take_given(orpo.beta, run.rl_beta);
  if (!run.nll.empty()) orpo.nll = parse_orpo_nll(run.nll);
  return orpo;
}

}  // namespace

void check_preference(const TrainingRun& run, const std::string& origin) {
  const PreferenceChecks checks{{run, origin}};
  checks.keys();
  checks.types();
  if (run.rl.empty() || run.rl == "distill") return;
  checks.together();
  if (is_online(run.rl)) return;
  checks.loss_options();
  try {
    if (run.rl == "reward") {
      check(reward_options(run));
    } else {
      std::visit([](const auto& own) { check(own); }, preference_options(run));
    }
  } catch (const Error& error) {
    const ErrorKind kind = error.kind() == ErrorKind::unsupported ? error.kind() : ErrorKind::format;
    throw Error(kind, error.message(),
                {.file = origin, .field = error.field(), .expected = error.expected(), .found = error.found()});
  }
}

PreferenceOptions preference_options(const TrainingRun& run) {
  if (run.rl == "orpo") return orpo_options(run);
  if (run.rl == "kto") return kto_options(run);
  if (run.rl == "cpo" || run.rl == "simpo") return cpo_options(run);
  return dpo_options(run);
}

RewardOptions reward_options(const TrainingRun& run) {
  return {.center_rewards_coefficient = run.center_rewards_coefficient,
          .disable_dropout = run.disable_dropout.value_or(true)};
}

AlignmentOptions alignment_options(const TrainingRun& run) {
  AlignmentOptions alignment{.precompute_ref_log_probs = run.precompute_ref_log_probs,
                             .precompute_ref_batch_size = run.precompute_ref_batch_size,
                             .sync_ref_model = run.sync_ref_model,
                             .disable_dropout = run.disable_dropout.value_or(true)};
  take_given(alignment.ref_model_mixup_alpha, run.ref_model_mixup_alpha);
  take_given(alignment.ref_model_sync_steps, run.ref_model_sync_steps);
  return alignment;
}

PreferenceDatasetOptions preference_dataset_options(const TrainingRun& run) {
  return {.max_length = run.sequence_len,
          .truncation_mode = run.rl == "reward"                  ? TruncationMode::drop
                             : run.truncation_mode == "keep_end" ? TruncationMode::keep_end
                                                                 : TruncationMode::keep_start,
          .unpaired = run.rl == "kto",
          .chat_template = chat_template_source(run.chat_template, run.chat_template_jinja),
          .bos_and_eos = run.bos_and_eos,
          .val_set_size = run.val_set_size,
          .seed = run.seed};
}

}  // namespace powerhouse
