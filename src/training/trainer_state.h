// Everything that the next step depends on but tensors: what trainer_state.json says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "support/json.h"

namespace powerhouse {

struct TrainerState {
  std::string run_id{};  // of this run and those that resume it
  std::int64_t step = 0;
  double epoch = 0;
  std::int64_t tokens = 0;
  std::string data_position{};  // DataLoader::position
  std::string data_fingerprint{};
  std::string base_fingerprint{};  // of what adapters lie on
  std::int64_t gradient_accumulation_steps = 0;
  std::optional<double> best_eval_loss{};
  std::string best_checkpoint{};                // its path; in trainer_state.json a name where it lies beside
  std::int64_t evaluations_without_better = 0;  // for early stopping
  Json recent_losses = Json::Array{};           // of the last steps, for the result
  Json watchdog{};
};

/// As a checkpoint in `output_dir` says it: so that a folder of checkpoints can be moved, and a run that goes on in
/// another folder still finds the best of the first.
JsonObject to_json(const TrainerState& state, const std::string& output_dir);
/// The same from the checkpoint `folder`. Error{format} naming it where something is missing.
TrainerState trainer_state_from(const JsonObject& object, const std::string& folder);
/// Whether `resumed`, of the checkpoint in `folder`, can go on as `run`: a step of it is a step of the same data on the
/// same base. Error{usage}.
void check_same_run(const TrainerState& resumed, const TrainerState& run, const std::string& folder);

}  // namespace powerhouse
