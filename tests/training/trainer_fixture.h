// What tests of the trainer share: a tiny model, rows for it, and what a run leaves.
#pragma once

#include <gtest/gtest.h>

#include "powerhouse/log.h"
#include "powerhouse/trainer.h"
#include "training/row_log.h"
#include "training/tiny_run.h"

namespace powerhouse::testing {

class TrainerTest : public ::testing::Test {
 protected:
  TrainerTest() : path_(write_tiny_model(folder_)), tokenizer_(Tokenizer::from_pretrained(path_)) {
    set_log_sink([this](LogLevel level, std::string_view text) {
      if (level == LogLevel::warning) warnings_.emplace_back(text);
    });
  }
  ~TrainerTest() override { set_log_sink({}); }

  Dataset data(int rows, double val_set_size = 0) {
    const std::string file = folder_.write("rows" + std::to_string(rows) + ".jsonl", completion_lines(rows));
    return Dataset::open(tokenizer_, {{.path = file, .type = "completion"}},
                         {.sequence_len = 64, .val_set_size = val_set_size});
  }
  CausalLM full(Dtype dtype = Dtype::f32) {
    CausalLM model = CausalLM::from_pretrained(path_, {.dtype = dtype});
    model.set_requires_grad(true);
    return model;
  }
  CausalLM lora(double dropout = 0, Dtype dtype = Dtype::f32) {
    CausalLM model = CausalLM::from_pretrained(path_, {.dtype = dtype});
    model.add_adapter("default", {.rank = 4, .alpha = 8, .dropout = dropout, .target_modules = {"all-linear"}});
    return model;
  }
  TrainingOptions options(TrainingOptions more) {
    more.progress = false;
    if (!more.learning_rate) more.learning_rate = 1e-3;
    return more;
  }
  std::vector<double> losses(const std::string& output) {
    std::vector<double> out;
    for (const Json& row : read_rows(output + "/train_log.jsonl")) {
      if (const Json* loss = row.get("loss")) out.push_back(loss->as_double());
    }
    return out;
  }

  TemporaryFolder folder_;
  std::string path_;
  Tokenizer tokenizer_;
  std::vector<std::string> warnings_;
};

}  // namespace powerhouse::testing
