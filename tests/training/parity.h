// A run of tests/oracles/training.py made again with our model, adapters and optimizer: Trainer's step, spelled out.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "model/fixture.h"
#include "powerhouse/adapter.h"
#include "powerhouse/causal_lm.h"
#include "powerhouse/optimizer.h"
#include "powerhouse/schedule.h"
#include "support/json.h"

namespace powerhouse::testing {

inline std::string training_fixture(const std::string& name) { return POWERHOUSE_FIXTURES "/training/" + name; }

struct ParityRow {
  std::vector<std::int64_t> ids, labels;
};

struct ParityStep {
  double loss = 0, grad_norm = 0, learning_rate = 0;
};

inline Json parity_run(const std::string& name) {
  const Json runs = Json::parse_file(training_fixture("runs.json"));
  for (const Json& run : runs.as_array()) {
    if (run.at("name").as_string() == name) return run;
  }
  throw std::runtime_error("runs.json has no run " + name);
}

inline ParityRow parity_row(const Json& row) {
  ParityRow made;
  for (const Json& id : row.at("input_ids").as_array()) made.ids.push_back(id.as_integer());
  for (const Json& label : row.at("labels").as_array()) made.labels.push_back(label.as_integer());
  return made;
}

inline std::vector<ParityRow> parity_rows() {
  std::vector<ParityRow> rows;
  const Json read = Json::parse_file(training_fixture("rows.json"));
  for (const Json& row : read.as_array()) rows.push_back(parity_row(row));
  return rows;
}

inline CausalLM parity_model(const Json& run) {
  return CausalLM::from_pretrained(POWERHOUSE_FIXTURES "/" + run.at("model").as_string(), {.dtype = Dtype::f32});
}

/// Twenty steps of two micro batches of two documents each, side by side where Trainer pads them.
inline std::vector<ParityStep> train(CausalLM& model, const Json& run, const std::vector<ParityRow>& rows) {
  constexpr std::size_t kSteps = 20, kMicroBatches = 2, kRows = 2;
  const double rate = run.at("learning_rate").as_double();
  Optimizer optimizer(make_parameter_groups(model.trainable_parameters()),
                      AdamWOptions{.lr = rate, .weight_decay = run.at("weight_decay").as_double()});
  const ScheduleOptions schedule{.kind = schedule_kind(run.at("lr_scheduler_type").as_string()),
                                 .warmup_steps = run.at("warmup_steps").as_integer()};
  std::vector<ParityStep> steps;
  for (std::size_t step = 0, next = 0; step < kSteps; ++step) {
    std::vector<TokenBatch> batches(kMicroBatches);
    std::int64_t targets = 0;
    for (TokenBatch& batch : batches) {
      for (std::size_t i = 0; i < kRows; ++i, ++next) batch.add(rows.at(next).ids, rows.at(next).labels);
      targets += batch.target_count();
    }
    ParityStep& done = steps.emplace_back();
    for (const TokenBatch& batch : batches) {
      const at::Tensor loss = model.score(batch).log_probs.sum().neg().div(static_cast<double>(targets));
      loss.backward();
      done.loss += loss.item<double>();
    }
    const double multiplier = learning_rate_multiplier(schedule, static_cast<std::int64_t>(step), kSteps);
    done.learning_rate = rate * multiplier;
    done.grad_norm =
        optimizer.step({.lr_multiplier = multiplier, .max_grad_norm = run.at("max_grad_norm").as_double()}).grad_norm;
    optimizer.zero_grad();
  }
  return steps;
}

}  // namespace powerhouse::testing
