#include "training/trainer_state.h"

#include <filesystem>

#include "powerhouse/error.h"

namespace powerhouse {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kFormat = 1;

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
  object["format"] = kFormat;
  object["run_id"] = state.run_id;
  object["step"] = state.step;
  object["epoch"] = state.epoch;
  object["tokens"] = state.tokens;
  object["data_position"] = state.data_position;
  object["data_fingerprint"] = state.data_fingerprint;
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
    if (const std::int64_t format = json.at("format").as_integer("format"); format != kFormat) {
      throw Error(ErrorKind::unsupported, "a checkpoint of another version",
                  {.field = "format", .expected = std::to_string(kFormat), .found = std::to_string(format)});
    }
    TrainerState state;
    state.run_id = json.at("run_id").as_string("run_id");
    state.step = json.at("step").as_integer("step");
    state.epoch = json.at("epoch").as_double("epoch");
    state.tokens = json.at("tokens").as_integer("tokens");
    state.data_position = json.at("data_position").as_string("data_position");
    state.data_fingerprint = json.at("data_fingerprint").as_string("data_fingerprint");
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

}  // namespace powerhouse
