// Runs of tests/oracles/reward_training.py made again by our Trainer, and compared step by step.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "powerhouse/preference_dataset.h"
#include "powerhouse/preference_losses.h"
#include "powerhouse/sequence_classifier.h"
#include "powerhouse/trainer.h"
#include "support/json.h"
#include "training/trainer_settings.h"

namespace powerhouse::testing {

inline constexpr double kRewardLossTolerance = 1e-3;  // relative, of each step
// What differs in the last bits grows from step to step of AdamW, and the fixtures are another processor's.
inline constexpr std::size_t kFirstSteps = 15;

inline std::string reward_fixture(const std::string& name) { return POWERHOUSE_FIXTURES "/training/reward/" + name; }

inline RewardOptions method_of(const Json& settings) {
  RewardOptions method;
  if (const Json* center = settings.get("center_rewards_coefficient")) {
    method.center_rewards_coefficient = center->as_double();
  }
  return method;
}

inline void expect_same_steps(const Json& run, const std::vector<TrainingStep>& steps) {
  ASSERT_EQ(steps.size(), 20U);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const auto wanted = [&](const char* name) { return run.at(name).as_array().at(i).as_double(); };
    const double bar = i < kFirstSteps ? kRewardLossTolerance : 2 * kRewardLossTolerance;
    EXPECT_NEAR(steps[i].loss / wanted("losses"), 1, bar) << "step " << i + 1;
    EXPECT_NEAR(steps[i].grad_norm / wanted("grad_norms"), 1, 5e-3) << "step " << i + 1;
    ASSERT_EQ(steps[i].metrics.size(), 5U);
    for (const auto& [name, value] : steps[i].metrics) {
      EXPECT_NEAR(value, wanted(name.c_str()), 1e-3 * (1 + std::abs(value))) << name << " of step " << i + 1;
    }
  }
}

inline std::vector<TrainingStep> train(SequenceClassifier& model, const PreferenceDataset& data, const Json& settings) {
  std::vector<TrainingStep> steps;
  TrainingCallbacks callbacks;
  callbacks.on_step = [&](const TrainingStep& step, TrainingControl&) { steps.push_back(step); };
  Trainer(model, data, std::nullopt, method_of(settings), options_of(settings), callbacks).train();
  return steps;
}

}  // namespace powerhouse::testing
