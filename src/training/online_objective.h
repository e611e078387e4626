// The objective of training on sampled completions: GRPO, RLOO and PPO.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "powerhouse/online.h"
#include "powerhouse/prompt_dataset.h"
#include "training/objective.h"

namespace powerhouse {

/// Model and reference model must outlive it. Error{usage, range, unsupported} for options that make no sense or don't
/// fit together.
std::unique_ptr<Objective> make_online_objective(CausalLM& model, PromptDataset train,
                                                 std::optional<PromptDataset> validation, const OnlineMethod& method,
                                                 std::vector<RewardFunction> rewards, const OnlineOptions& online,
                                                 const TrainingOptions& options);

}  // namespace powerhouse
