#include "training/trainer_state.h"

#include <filesystem>

#include "powerhouse/error.h"

namespace powerhouse {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kStateFormat = 1;

// A checkpoint's path as others in `output_dir` may call it: by name alone where it lies there too.
std::string path_from(const std::string& checkpoint, const std::string& output_dir) {
  if (checkpoint.empty()) return "";
  const fs::path path = fs::absolute(checkpoint);
  std::error_code ignored;
  const bool beside = fs::equivalent(path.parent_path(), output_dir, ignored);
  return beside ? path.filename().string() : path.string();
}

}  // namespace

JsonObject to_json(const TrainerState& state, const std::string& output_dir) {
  JsonObject object;
  object["format"] = kStateFormat;
  object["run_id"] = state.run_id;
  object["step"] = state.step;
  object["epoch"] = state.epoch;
  object["tokens"] = state.tokens;
  object["data_position"] = state.data_position;
  object["data_fingerprint"] = state.data_fingerprint;
  object["base_fingerprint"] = state.base_fingerprint;
  object["gradient_accumulation_steps"] = state.gradient_accumulation_steps;
  object["best_eval_loss"] = state.best_eval_loss ? Json(*state.best_eval_loss) : Json();
  object["best_checkpoint"] = path_from(state.best_checkpoint, output_dir);
  object["evaluations_without_better"] = state.evaluations_without_better;
  object["recent_losses"] = state.recent_losses;
  object["watchdog"] = state.watchdog;
  return object;
}

TrainerState trainer_state_from(const JsonObject& object, const std::string& folder) {
  try {
    const Json json(object);
    if (const std::int64_t format = json.at("format").as_integer("format"); format != kStateFormat) {
      throw Error(ErrorKind::unsupported, "a checkpoint of another version",
                  {.field = "format", .expected = std::to_string(kStateFormat), .found = std::to_string(format)});
    }
    TrainerState state;
    state.run_id = json.at("run_id").as_string("run_id");
    state.step = json.at("step").as_integer("step");
    state.epoch = json.at("epoch").as_double("epoch");
    state.tokens = json.at("tokens").as_integer("tokens");
    state.data_position = json.at("data_position").as_string("data_position");
    state.data_fingerprint = json.at("data_fingerprint").as_string("data_fingerprint");
    state.base_fingerprint = json.at("base_fingerprint").as_string("base_fingerprint");
    state.gradient_accumulation_steps =
        json.at("gradient_accumulation_steps").as_integer("gradient_accumulation_steps");
    if (const Json* best = json.get("best_eval_loss")) state.best_eval_loss = best->as_double("best_eval_loss");
    if (const std::string best = json.string_or("best_checkpoint", ""); !best.empty()) {
      state.best_checkpoint = (fs::absolute(folder).parent_path() / best).string();
    }
    state.evaluations_without_better = json.integer_or("evaluations_without_better", 0);
    state.recent_losses = json.at("recent_losses");
    state.recent_losses.as_array("recent_losses");
    state.watchdog = json.at("watchdog");
    return state;
  } catch (const Error& error) {
    throw error.in_file(folder);
  }
}

void check_same_run(const TrainerState& resumed, const TrainerState& run, const std::string& folder) {
  if (resumed.data_fingerprint != run.data_fingerprint) {
    throw Error(ErrorKind::usage, "the checkpoint was trained on other data", {.file = folder, .field = "data"});
  }
  const bool adapters = !resumed.base_fingerprint.empty() && !run.base_fingerprint.empty();
  if (adapters && resumed.base_fingerprint != run.base_fingerprint) {
    throw Error(ErrorKind::usage, "the checkpoint was trained on another base model",
                {.file = folder, .field = "base_model"});
  }
  if (resumed.gradient_accumulation_steps != run.gradient_accumulation_steps) {
    throw Error(ErrorKind::usage, "the checkpoint counts other steps",
                {.file = folder,
                 .field = "gradient_accumulation_steps",
                 .expected = std::to_string(resumed.gradient_accumulation_steps),
                 .found = std::to_string(run.gradient_accumulation_steps)});
  }
}

}  // namespace powerhouse
