// Steps that are not applied: numbers that are not finite, rows without targets, a loss that jumps.
#include <gmock/gmock.h>

#include <limits>

#include "expect_error.h"
#include "training/trainer_fixture.h"

namespace powerhouse {
namespace {

using ::testing::ElementsAre;
using testing::expect_error;
using ::testing::HasSubstr;
using testing::TrainerTest;

TEST_F(TrainerTest, WhatIsNotFiniteIsNamedByRow) {
  CausalLM model = full();
  const std::string out = folder_.file("out");
  TrainingCallbacks callbacks;
  callbacks.on_step = [&](const TrainingStep& step, TrainingControl&) {
    if (step.step == 2) model.parameter("model.norm.weight").detach().fill_(std::numeric_limits<float>::quiet_NaN());
  };
  Trainer trainer(model, data(40), options({.output_dir = out, .watchdog = {.max_not_finite = 4}}), callbacks);
  expect_error(ErrorKind::numeric, "4 steps", [&] { trainer.train(); });
  ASSERT_GE(warnings_.size(), 3u);
  EXPECT_THAT(warnings_[0], HasSubstr("step 3 is not applied: the loss is not finite"));
  EXPECT_THAT(warnings_[0], HasSubstr("rows40.jsonl:"));
  std::int64_t skipped = 0;
  for (const Json& row : read_rows(out + "/train_log.jsonl")) skipped += row.get("skipped") != nullptr ? 1 : 0;
  EXPECT_EQ(skipped, 3);
}

// A row one token longer than the sequence leaves a piece that predicts nothing.
TEST_F(TrainerTest, PiecesWithoutTargetsAreSkippedAndSaid) {
  const std::string file = folder_.write("long.jsonl", testing::completion_lines(2));
  const auto length =
      Dataset::open(tokenizer_, {{.path = file, .type = "completion"}}, {.sequence_len = 4096}).report().lengths.max;
  const Dataset rows = Dataset::open(tokenizer_, {{.path = file, .type = "completion"}},
                                     {.sequence_len = length - 1, .excess_length_strategy = ExcessLength::split});
  CausalLM model = full();
  const std::string out = folder_.file("out");
  Trainer trainer(model, rows, options({.epochs = 1, .output_dir = out}));
  EXPECT_EQ(trainer.train().end, TrainingEnd::finished);
  int skipped = 0;
  for (const Json& row : read_rows(out + "/train_log.jsonl")) {
    if (row.get("skipped") != nullptr) ++skipped;
  }
  EXPECT_GE(skipped, 1);
}

TEST_F(TrainerTest, ASpikeThatStaysGoesBackToTheCheckpoint) {
  CausalLM model = full();
  const std::string out = folder_.file("out");
  bool broken = false;
  TrainingCallbacks callbacks;
  callbacks.on_step = [&](const TrainingStep& step, TrainingControl&) {
    if (step.step == 14 && !std::exchange(broken, true)) model.parameter("model.norm.weight").detach().mul_(40);
  };
  Trainer trainer(
      model, data(40),
      options({.max_steps = 20, .output_dir = out, .save = {.steps = 6}, .watchdog = {.factor = 1.5, .patience = 2}}),
      callbacks);
  const TrainingResult result = trainer.train();
  EXPECT_EQ(result.steps, 20);
  EXPECT_EQ(result.skipped_steps, 2);
  std::vector<std::string> events;
  for (const Json& row : read_rows(out + "/train_log.jsonl")) {
    if (const Json* event = row.get("event")) {
      events.push_back(event->as_string() + " " + std::to_string(row.at("step").as_integer()));
    }
  }
  EXPECT_THAT(events, ElementsAre("skipped_step 15", "skipped_step 16", "rollback 16"));
  EXPECT_LT(losses(out).back(), losses(out).front());
}

}  // namespace
}  // namespace powerhouse
