// Twenty steps of DPO, ORPO, KTO, CPO and SimPO against TRL's own trainers on the same model, rows and order
// (tests/oracles/preference_runs.py): losses, gradient norms, metrics, and the evaluation behind them.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "powerhouse/adapter.h"
#include "powerhouse/trainer.h"
#include "training/tiny_run.h"

namespace powerhouse::testing {
namespace {

const Json& preference_runs() {
  static const Json json = Json::parse_file(POWERHOUSE_FIXTURES "/training/preference_runs.json");
  return json;
}

double number_or(const Json& arguments, const char* key, double otherwise) {
  const Json* value = arguments.get(key);
  return value == nullptr ? otherwise : value->as_double();
}

PreferenceOptions method_of(const std::string& trainer, const Json& arguments) {
  const double beta = number_or(arguments, "beta", 0.1);
  const Json* type = arguments.get("loss_type");
  if (trainer == "orpo") return OrpoOptions{.beta = beta};
  if (trainer == "kto") {
    KtoOptions kto{.beta = beta,
                   .desirable_weight = number_or(arguments, "desirable_weight", 1),
                   .undesirable_weight = number_or(arguments, "undesirable_weight", 1)};
    if (type != nullptr) kto.loss_type = parse_kto_loss_type(type->as_string());
    return kto;
  }
  if (trainer == "cpo") {
    CpoOptions cpo{.beta = beta, .cpo_alpha = number_or(arguments, "cpo_alpha", 1)};
    if (type != nullptr) set_cpo_loss_type(cpo, type->as_string());
    return cpo;
  }
  DpoOptions dpo{.beta = beta};
  if (type != nullptr) {
    dpo.loss_type.clear();
    for (const Json& name : type->as_array()) dpo.loss_type.push_back(parse_dpo_loss_type(name.as_string()));
  }
  if (const Json* weights = arguments.get("loss_weights")) {
    for (const Json& weight : weights->as_array()) dpo.loss_weights.push_back(weight.as_double());
  }
  if (const Json* alpha = arguments.get("ld_alpha")) dpo.ld_alpha = alpha->as_double();
  dpo.use_weighting = arguments.get("use_weighting") != nullptr;
  return dpo;
}

double metric(const Metrics& metrics, std::string_view name) {
  for (const auto& [own, value] : metrics) {
    if (own == name) return value;
  }
  ADD_FAILURE() << "no metric " << name;
  return NAN;
}

void expect_metrics(const Metrics& ours, const Json& theirs, const std::string& prefix) {
  for (const auto& [key, value] : theirs.as_object()) {
    if (!key.starts_with(prefix)) continue;
    const std::string name = key.substr(prefix.size());
    if (name == "loss" || name == "grad_norm" || name == "learning_rate" || name == "epoch" || name == "step") continue;
    const double want = value.as_double();
    EXPECT_NEAR(metric(ours, name), want, 2e-4 * std::max(1.0, std::abs(want))) << key;
  }
}

class PreferenceRun : public ::testing::TestWithParam<std::string> {
 protected:
  PreferenceRun() : path_(write_tiny_model(folder_)), tokenizer_(Tokenizer::from_pretrained(path_)) {}

  PreferenceDataset data(bool unpaired, const Json& arguments) {
    std::string lines;
    for (const Json& row : preference_runs().at(unpaired ? "labelled" : "pairs").as_array()) lines += row.dump() + "\n";
    PreferenceDatasetOptions options{.unpaired = unpaired};
    options.max_length = static_cast<std::int64_t>(number_or(arguments, "max_length", 1024));
    if (arguments.string_or("truncation_mode", "") == "keep_end") options.truncation_mode = TruncationMode::keep_end;
    return PreferenceDataset::open(tokenizer_, {{.path = folder_.write("rows.jsonl", lines)}}, options);
  }

  CausalLM model(bool adapter) {
    CausalLM model = CausalLM::from_pretrained(path_, {.dtype = Dtype::f32});
    if (adapter) {
      model.load_adapter(POWERHOUSE_FIXTURES "/training/preference_adapter", "default", true);
    } else {
      model.set_requires_grad(true);
    }
    return model;
  }

  void expect_trl(const Json& run, const AlignmentOptions& alignment) {
    const Json& arguments = run.at("arguments");
    const std::string trainer = run.at("trainer").as_string();
    const PreferenceDataset rows = data(trainer == "kto", arguments);
    CausalLM trained = model(run.at("adapter").as_bool());
    const TrainingOptions options{
        .learning_rate = arguments.at("learning_rate").as_double(),
        .max_steps = 20,
        .micro_batch_size = arguments.at("per_device_train_batch_size").as_integer(),
        .gradient_accumulation_steps = arguments.at("gradient_accumulation_steps").as_integer(),
        .shuffle = false,
        .schedule = {.kind = ScheduleKind::constant},
        .progress = false};
    std::vector<TrainingStep> steps;
    TrainingCallbacks callbacks;
    callbacks.on_step = [&](const TrainingStep& step, TrainingControl&) { steps.push_back(step); };
    Trainer made(trained, rows, rows, method_of(trainer, arguments), options, alignment, callbacks);
    made.train();
    const auto& theirs = run.at("steps").as_array();
    ASSERT_EQ(steps.size(), theirs.size());
    for (std::size_t i = 0; i < steps.size(); ++i) {
      SCOPED_TRACE("step " + std::to_string(i + 1));
      EXPECT_NEAR(steps[i].loss / theirs[i].at("loss").as_double(), 1, 1e-4);
      EXPECT_NEAR(steps[i].grad_norm / theirs[i].at("grad_norm").as_double(), 1, 1e-3);
      expect_metrics(steps[i].metrics, theirs[i], "");
    }
    const Evaluation evaluation = made.evaluate();
    EXPECT_NEAR(evaluation.eval_loss / run.at("evaluation").at("eval_loss").as_double(), 1, 1e-4);
    expect_metrics(evaluation.metrics, run.at("evaluation"), "eval_");
  }

  TemporaryFolder folder_;
  std::string path_;
  Tokenizer tokenizer_;
};

AlignmentOptions alignment_of(const Json& arguments) {
  AlignmentOptions alignment;
  alignment.sync_ref_model = arguments.get("sync_ref_model") != nullptr;
  alignment.ref_model_mixup_alpha = number_or(arguments, "ref_model_mixup_alpha", 0.6);
  alignment.ref_model_sync_steps = static_cast<std::int64_t>(number_or(arguments, "ref_model_sync_steps", 512));
  return alignment;
}

TEST_P(PreferenceRun, StepsAreTrls) {
  for (const Json& run : preference_runs().at("runs").as_array()) {
    if (run.at("name").as_string() == GetParam()) expect_trl(run, alignment_of(run.at("arguments")));
  }
}

// The same run whatever gives the reference's numbers: computed before, read from a file, or by a second model.
TEST_P(PreferenceRun, AnyReferenceGivesTheSameSteps) {
  for (const Json& run : preference_runs().at("runs").as_array()) {
    const std::string& trainer = run.at("trainer").as_string();
    if (run.at("name").as_string() != GetParam() || run.at("arguments").get("sync_ref_model") != nullptr) continue;
    if (trainer != "dpo" && trainer != "kto") continue;
    const std::string cache = folder_.file("cache");
    CausalLM other = CausalLM::from_pretrained(path_, {.dtype = Dtype::f32});
    expect_trl(run, {.ref_model = &other});
    for (int time = 0; time < 2; ++time) {
      expect_trl(run, {.precompute_ref_log_probs = true, .ref_cache_dir = cache});
      EXPECT_EQ(std::distance(std::filesystem::directory_iterator(cache), {}), 1) << "of equal rows";
    }
  }
}

std::vector<std::string> run_names() {
  std::vector<std::string> names;
  for (const Json& run : preference_runs().at("runs").as_array()) names.push_back(run.at("name").as_string());
  return names;
}

INSTANTIATE_TEST_SUITE_P(Trl, PreferenceRun, ::testing::ValuesIn(run_names()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace powerhouse::testing
