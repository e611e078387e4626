#include "training/run_distillation.h"

#include <ATen/core/Tensor.h>

#include <array>

#include "powerhouse/error.h"
#include "training/run_config.h"
#include "training/run_options.h"

namespace powerhouse {
namespace {

struct DistillationChecks : RunChecks {
  // Keys that say something without rl: distill.
  void without_method() const {
    const std::pair<std::string_view, bool> keys[] = {
        {"teacher_model", !run.teacher_model.empty()},
        {"kd_alpha", run.kd_alpha.has_value()},
        {"kd_ce_alpha", run.kd_ce_alpha.has_value()},
        {"kd_temperature", run.kd_temperature.has_value()},
        {"kd_scale_by_temperature_squared", run.kd_scale_by_temperature_squared},
        {"kd_hidden_state_weight", run.kd_hidden_state_weight != 0},
        {"kd_top_k", run.kd_top_k != 0},
        {"kd_cache_dir", !run.kd_cache_dir.empty()},
        {"use_uld_loss", run.use_uld_loss}};
    for (const auto& [key, given] : keys) refuse(given, key, "has no effect without rl: distill");
  }

  void method() const {
    refuse(run.teacher_model.empty(), "teacher_model", "missing: the model to learn from");
    refuse(run.teacher_model == run.base_model && run.adapter.empty(), "teacher_model",
           "teacher and student are one model");
    refuse(!run.test_datasets.empty() && (run.use_uld_loss || run.kd_top_k > 0), "test_datasets",
           "not with use_uld_loss or kd_top_k: hold rows back by val_set_size");
    refuse(run.use_uld_loss && run.kd_top_k > 0, "kd_top_k", "not together with use_uld_loss");
    refuse(!run.kd_cache_dir.empty() && run.kd_top_k == 0, "kd_cache_dir", "has no effect without kd_top_k");
    refuse(run.kd_hidden_state_weight > 0 && (run.use_uld_loss || run.kd_top_k > 0), "kd_hidden_state_weight",
           "needs the teacher itself, with the student's tokenizer");
    refuse(run.use_uld_loss && run.rl_beta.has_value(), "rl_beta", "has no effect with use_uld_loss");
    try {
      check(distillation_options(run));
    } catch (const Error& error) {
      const std::string field = error.field() == "beta" ? "rl_beta" : "kd_" + error.field();
      throw Error(ErrorKind::format, error.message(),
                  {.file = origin, .field = field, .expected = error.expected(), .found = error.found()});
    }
  }
};

}  // namespace

void check_distillation(const TrainingRun& run, const std::string& origin) {
  const DistillationChecks checks{{run, origin}};
  run.rl == "distill" ? checks.method() : checks.without_method();
}

DistillationOptions distillation_options(const TrainingRun& run) {
  DistillationOptions options{.ce_alpha = run.kd_ce_alpha, .hidden_state_weight = run.kd_hidden_state_weight};
  if (run.rl_beta) options.divergence.beta = *run.rl_beta;
  if (run.kd_temperature) options.divergence.temperature = *run.kd_temperature;
  options.divergence.scale_by_temperature_squared = run.kd_scale_by_temperature_squared;
  if (run.kd_alpha) options.alpha = *run.kd_alpha;
  return options;
}

std::span<const RunKey> distillation_keys() {
  using R = TrainingRun;
  static const std::array keys{
      RunKey{"teacher_model", &R::teacher_model, "distill: a GGUF file, or a folder in Hugging Face layout; required"},
      RunKey{"kd_alpha", &R::kd_alpha, "distill: weight of the divergence, which rl_beta chooses; default: 1"},
      RunKey{"kd_ce_alpha", &R::kd_ce_alpha, "distill: weight of the cross entropy; default: 1 - kd_alpha"},
      RunKey{"kd_temperature", &R::kd_temperature, "distill: divides both models' logits; default: 1"},
      RunKey{"kd_scale_by_temperature_squared", &R::kd_scale_by_temperature_squared,
             "distill: the divergence times the temperature's square (not Axolotl's)"},
      RunKey{"kd_hidden_state_weight", &R::kd_hidden_state_weight,
             "distill: weight of the mean square of hidden states (not Axolotl's)"},
      RunKey{"kd_top_k", &R::kd_top_k,
             "distill: above 0, ask the teacher once, and train from a file of its so many likeliest tokens"},
      RunKey{"kd_cache_dir", &R::kd_cache_dir, "distill: where that file is; default: output_dir"},
      RunKey{"use_uld_loss", &R::use_uld_loss, "distill: the teacher has another tokenizer (TRL's)"},
  };
  return keys;
}

Teacher RunTeacher::teacher() const {
  if (store) return {.store = &*store};
  return {.model = &*model, .data = data};
}

RunTeacher run_teacher(const TrainingRun& run, const CausalLM& student, const Dataset& all) {
  RunTeacher out;
  CausalLM model = CausalLM::from_pretrained(run.teacher_model, {.dtype = student.dtype(), .device = run.device});
  if (run.kd_top_k > 0) {
    out.store = TeacherStore::make(model, all, run.kd_cache_dir.empty() ? run.output_dir : run.kd_cache_dir,
                                   {.top_k = run.kd_top_k,
                                    .temperature = distillation_options(run).divergence.temperature,
                                    .batch_size = run.micro_batch_size});
    return out;
  }
  if (run.use_uld_loss) {
    out.data = Dataset::open(Tokenizer::from_pretrained(run.teacher_model), run.datasets, dataset_options(run));
  }
  out.model = std::move(model);
  return out;
}

}  // namespace powerhouse
