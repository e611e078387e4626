// Losses of preference alignment, reinforcement learning and distillation: plain functions of log-probabilities, usable
// without a trainer. docs/alignment.md has all formulas side by side.
#pragma once

#include "powerhouse/completion_log_probs.h"
#include "powerhouse/distillation_losses.h"
#include "powerhouse/dpo_loss.h"
#include "powerhouse/policy_losses.h"
#include "powerhouse/ppo_loss.h"
#include "powerhouse/preference_losses.h"
