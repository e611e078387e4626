// run.yaml with nothing but what must be in it, and what a test adds.
#pragma once

#include <string>
#include <vector>

#include "powerhouse/training_run.h"

namespace powerhouse::testing {

inline constexpr const char* kSmallestRun = "base_model: m\ndatasets:\n  - path: d.jsonl\n";

inline TrainingRun parse_smallest(const std::string& more, const std::vector<std::string>& overrides = {}) {
  return parse_training_run(kSmallestRun + more, "run.yaml", overrides);
}

}  // namespace powerhouse::testing
