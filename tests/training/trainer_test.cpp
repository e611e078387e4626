// The trainer on a tiny model: what accumulation, packing and checkpoints must not change, and what happens when things
// go wrong.
#include "powerhouse/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers)
#include <sys/resource.h>

#include <filesystem>
#include <limits>

#include "expect_error.h"
#include "powerhouse/log.h"
#include "training/checkpoint.h"
#include "training/row_log.h"
#include "training/tiny_run.h"

namespace powerhouse {
namespace {

namespace fs = std::filesystem;
using testing::copy_weights;
using ::testing::ElementsAre;
using testing::expect_error;
using ::testing::HasSubstr;
using testing::largest_difference;
using testing::same_bits;
using testing::Weights;

class TrainerTest : public ::testing::Test {
 protected:
  TrainerTest() : path_(testing::write_tiny_model(folder_)), tokenizer_(Tokenizer::from_pretrained(path_)) {
    set_log_sink([this](LogLevel level, std::string_view text) {
      if (level == LogLevel::warning) warnings_.emplace_back(text);
    });
  }
  ~TrainerTest() override { set_log_sink({}); }

  Dataset data(int rows, double val_set_size = 0) {
    const std::string file = folder_.write("rows" + std::to_string(rows) + ".jsonl", testing::completion_lines(rows));
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

  testing::TemporaryFolder folder_;
  std::string path_;
  Tokenizer tokenizer_;
  std::vector<std::string> warnings_;
};

TEST_F(TrainerTest, LearnsAndLogsEveryStep) {
  CausalLM model = full();
  const std::string out = folder_.file("out");
  Trainer trainer(model, data(40, 0.2),
                  options({.epochs = 3,
                           .micro_batch_size = 4,
                           .schedule = {.kind = ScheduleKind::linear, .warmup_steps = 2},
                           .output_dir = out,
                           .tensorboard = true}));
  const TrainingResult result = trainer.train();
  EXPECT_EQ(result.end, TrainingEnd::finished);
  EXPECT_EQ(result.steps, trainer.total_steps());
  EXPECT_DOUBLE_EQ(result.epochs, 3);
  const std::vector<Json> rows = read_rows(out + "/train_log.jsonl");
  std::vector<Json> steps, evaluations;
  for (const Json& row : rows) (row.get("loss") != nullptr ? steps : evaluations).push_back(row);
  ASSERT_EQ(static_cast<std::int64_t>(steps.size()), result.steps);
  EXPECT_LT(steps.back().at("loss").as_double(), 0.7 * steps.front().at("loss").as_double());
  for (const char* key :
       {"step", "loss", "learning_rate", "grad_norm", "tokens", "tokens_per_second", "peak_memory_bytes", "epoch"}) {
    ASSERT_NE(steps.front().get(key), nullptr) << key;
  }
  EXPECT_DOUBLE_EQ(steps[0].at("learning_rate").as_double(), trainer.learning_rate(1));
  EXPECT_DOUBLE_EQ(steps[4].at("learning_rate").as_double(), trainer.learning_rate(5));
  ASSERT_EQ(evaluations.size(), 4u);  // before the first step, and after each epoch
  EXPECT_EQ(evaluations[0].at("step").as_integer(), 0);
  EXPECT_LT(evaluations[3].at("eval_loss").as_double(), evaluations[0].at("eval_loss").as_double());
  EXPECT_EQ(trainer.evaluate().eval_loss, *result.final_eval_loss);
  const std::vector<Json> order = read_rows(out + "/data_order.jsonl");
  ASSERT_EQ(order.size(), steps.size());
  EXPECT_EQ(order[0].at("rows").as_array().size(), 4u);
  EXPECT_THAT(order[0].at("rows").as_array()[0].as_string(), HasSubstr(".jsonl:"));
  for (const char* file : {"report.html", "run.json", "runs"}) EXPECT_TRUE(fs::exists(out + "/" + file)) << file;
}

TEST_F(TrainerTest, AccumulationEqualsTheBigBatch) {
  Weights results[3];
  double losses[3][4] = {};
  const std::pair<std::int64_t, std::int64_t> shapes[] = {{8, 1}, {2, 4}, {1, 8}};
  for (std::size_t i = 0; i < 3; ++i) {
    CausalLM model = full();
    TrainingCallbacks callbacks;
    callbacks.on_step = [&](const TrainingStep& step, TrainingControl&) { losses[i][step.step - 1] = step.loss; };
    Trainer trainer(model, data(32),
                    options({.micro_batch_size = shapes[i].first, .gradient_accumulation_steps = shapes[i].second}),
                    callbacks);
    EXPECT_EQ(trainer.train().steps, 4);
    results[i] = copy_weights(model);
  }
  for (std::size_t i = 1; i < 3; ++i) {
    for (std::size_t step = 0; step < 4; ++step) EXPECT_NEAR(losses[i][step], losses[0][step], 1e-5 * losses[0][step]);
    EXPECT_LT(largest_difference(results[i], results[0]), 1e-5);
  }
}

// By SGD: Adam's first steps turn a gradient's last bits into whole steps where it is near zero.
TEST_F(TrainerTest, PackedEqualsUnpacked) {
  Weights results[2];
  std::vector<double> losses[2];
  for (const bool packed : {false, true}) {
    const std::size_t i = packed ? 1 : 0;
    CausalLM model = full();
    TrainingCallbacks callbacks;
    callbacks.on_step = [&](const TrainingStep& step, TrainingControl&) { losses[i].push_back(step.loss); };
    Trainer trainer(model, data(16),
                    options({.learning_rate = 0.1,
                             .epochs = 3,
                             .micro_batch_size = 16,
                             .sample_packing = packed,
                             .optimizer = SgdOptions{}}),
                    callbacks);
    EXPECT_EQ(trainer.train().steps, 3);
    results[i] = copy_weights(model);
  }
  for (std::size_t step = 0; step < 3; ++step) EXPECT_NEAR(losses[0][step], losses[1][step], 1e-5 * losses[0][step]);
  EXPECT_GT(largest_difference(results[0], copy_weights(full())), 1e-3);
  EXPECT_LT(largest_difference(results[0], results[1]), 1e-5);
}

TEST_F(TrainerTest, TheSameSeedGivesTheSameBits) {
  Weights results[3];
  for (std::size_t i = 0; i < 3; ++i) {
    CausalLM model = lora(0.1);
    Trainer(model, data(24), options({.micro_batch_size = 3, .seed = i == 2 ? 7u : 42u})).train();
    results[i] = copy_weights(model);
  }
  EXPECT_TRUE(same_bits(results[0], results[1]));
  EXPECT_FALSE(same_bits(results[0], results[2]));
}

// Stopped in the middle of an epoch and resumed: weights, log and data order are those of the run without a stop.
class ResumeTest : public TrainerTest {
 protected:
  template <typename MakeModel>
  void check(TrainingOptions base, MakeModel make_model) {
    base = options(base);
    base.epochs = 2;
    base.micro_batch_size = 2;
    base.save = {.steps = 3};
    CausalLM straight = make_model();
    base.output_dir = folder_.file("straight");
    const TrainingResult whole = Trainer(straight, data(21, 0.25), base).train();
    base.output_dir = folder_.file("stopped");
    {
      CausalLM first = make_model();
      TrainingCallbacks callbacks;
      callbacks.on_step = [](const TrainingStep& step, TrainingControl& control) { control.stop = step.step == 5; };
      EXPECT_EQ(Trainer(first, data(21, 0.25), base, callbacks).train().end, TrainingEnd::stopped_by_callback);
    }
    base.resume_from_checkpoint = "auto";
    CausalLM second = make_model();
    const TrainingResult rest = Trainer(second, data(21, 0.25), base).train();
    EXPECT_EQ(rest.steps, whole.steps);
    EXPECT_EQ(rest.tokens, whole.tokens);
    EXPECT_EQ(rest.final_eval_loss, whole.final_eval_loss);
    EXPECT_TRUE(same_bits(copy_weights(second), copy_weights(straight)));
    EXPECT_EQ(losses(folder_.file("stopped")), losses(folder_.file("straight")));
    const auto order = [&](const char* name) {
      std::string text;
      for (const Json& row : read_rows(folder_.file(name) + "/data_order.jsonl")) text += row.dump() + "\n";
      return text;
    };
    EXPECT_EQ(order("stopped"), order("straight"));
  }
};

TEST_F(ResumeTest, LoraWithDropout) {
  check({}, [this] { return lora(0.2); });
}

TEST_F(ResumeTest, FullInFloat32Packed) {
  check({.sample_packing = true, .schedule = {.kind = ScheduleKind::cosine, .warmup_steps = 2}},
        [this] { return full(); });
}

TEST_F(ResumeTest, FullInBf16WithMasters) {
  check({.optimizer_storage = {.master_weights = true}}, [this] { return full(Dtype::bf16); });
}

TEST_F(ResumeTest, EightBitStates) {
  check({.optimizer = AdamW8bitOptions{.min_8bit_size = 64}}, [this] { return full(); });
}

TEST_F(ResumeTest, MomentumAndAccumulation) {
  check({.gradient_accumulation_steps = 3, .optimizer = SgdOptions{.momentum = 0.9}}, [this] { return full(); });
}

using KilledTest = TrainerTest;

// The child is this test anew, up to the statement that kills it.
TEST_F(KilledTest, LosesOnlyTheStepsSinceTheCheckpoint) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const char* inherited = std::getenv("POWERHOUSE_TEST_OUTPUT");
  const std::string out = inherited != nullptr ? inherited : folder_.file("out");
  ::setenv("POWERHOUSE_TEST_OUTPUT", out.c_str(), 1);
  ::setenv("TMPDIR", folder_.path().c_str(), 1);  // what the child leaves goes with our folder
  TrainingOptions base = options({.epochs = 2, .micro_batch_size = 2, .output_dir = out, .save = {.steps = 3}});
  EXPECT_EXIT(
      {
        CausalLM model = lora(0.1);
        TrainingCallbacks callbacks;
        callbacks.on_step = [](const TrainingStep& step, TrainingControl&) {
          if (step.step == 8) ::raise(SIGKILL);
        };
        Trainer(model, data(20), base, callbacks).train();
      },
      ::testing::KilledBySignal(SIGKILL), "");
  ::unsetenv("POWERHOUSE_TEST_OUTPUT");
  ::unsetenv("TMPDIR");
  // The rows are in another folder than the child's, with the same content.
  CausalLM straight = lora(0.1);
  base.output_dir = "";
  Trainer(straight, data(20), base).train();
  base.output_dir = out;
  base.resume_from_checkpoint = "auto";
  CausalLM resumed = lora(0.1);
  std::int64_t first = 0;
  TrainingCallbacks callbacks;
  callbacks.on_step = [&](const TrainingStep& step, TrainingControl&) {
    if (first == 0) first = step.step;
  };
  Trainer(resumed, data(20), base, callbacks).train();
  EXPECT_EQ(first, 7);
  EXPECT_TRUE(same_bits(copy_weights(resumed), copy_weights(straight)));
  EXPECT_EQ(losses(out).size(), 20u);
}

TEST_F(TrainerTest, AFullDiskLeavesTheCheckpointBefore) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto body = [&] {
    CausalLM model = full();
    ::signal(SIGXFSZ, SIG_IGN);
    TrainingCallbacks callbacks;
    callbacks.on_save = [](const std::string&) {
      const rlimit limit{1 << 14, 1 << 14};
      ::setrlimit(RLIMIT_FSIZE, &limit);
    };
    const std::string out = folder_.file("out");
    try {
      Trainer(model, data(12), options({.output_dir = out, .save = {.steps = 2}}), callbacks).train();
    } catch (const Error& error) {
      read_checkpoint(out + "/checkpoint-2");
      const bool alone = list_checkpoints(out).size() == 1;
      ::_exit(error.kind() == ErrorKind::io && alone ? 7 : 3);
    }
    ::_exit(2);
  };
  ::setenv("TMPDIR", folder_.path().c_str(), 1);
  EXPECT_EXIT(body(), ::testing::ExitedWithCode(7), "");
  ::unsetenv("TMPDIR");
}

TEST_F(TrainerTest, DamagedAndForeignCheckpoints) {
  const std::string out = folder_.file("out");
  TrainingOptions base = options({.micro_batch_size = 2, .output_dir = out, .save = {.steps = 2}});
  CausalLM model = lora();
  Trainer(model, data(12), base).train();
  const auto flip = [](const std::string& path) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-3, std::ios::end);
    file.put('\x55');
  };
  flip(out + "/checkpoint-6/optimizer.safetensors");
  base.resume_from_checkpoint = out + "/checkpoint-6";
  CausalLM again = lora();
  expect_error(ErrorKind::format, "optimizer.safetensors", [&] { Trainer(again, data(12), base).train(); });
  base.resume_from_checkpoint = "auto";
  const TrainingResult result = Trainer(again, data(12), base).train();
  EXPECT_EQ(result.steps, 6);
  ASSERT_FALSE(warnings_.empty());
  EXPECT_THAT(warnings_.front(), HasSubstr("checkpoint-6/optimizer.safetensors"));
  EXPECT_TRUE(same_bits(copy_weights(again), copy_weights(model)));
  base.resume_from_checkpoint = out + "/checkpoint-4";
  expect_error(ErrorKind::usage, "other data", [&] { Trainer(again, data(14), base).train(); });
  CausalLM other = full();
  expect_error(ErrorKind::format, "checkpoint-4", [&] { Trainer(other, data(12), base).train(); });
  base.resume_from_checkpoint = out + "/checkpoint-5";
  expect_error(ErrorKind::not_found, "checkpoint-5", [&] { Trainer(again, data(12), base).train(); });
}

TEST_F(TrainerTest, KeepsTheLastCheckpointsAndTheBest) {
  const std::string out = folder_.file("out");
  CausalLM model = full();
  std::vector<std::string> saved;
  TrainingCallbacks callbacks;
  callbacks.on_save = [&](const std::string& path) { saved.push_back(fs::path(path).filename().string()); };
  Trainer trainer(model, data(30, 6),
                  options({.max_steps = 12,
                           .evaluation = {.steps = 2},
                           .output_dir = out,
                           .save = {.steps = 2},
                           .save_total_limit = 2}),
                  callbacks);
  const TrainingResult result = trainer.train();
  EXPECT_EQ(saved.size(), 6u);
  std::vector<std::int64_t> steps;
  for (const CheckpointPlace& place : list_checkpoints(out)) steps.push_back(place.step);
  EXPECT_LE(steps.size(), 3u);
  EXPECT_EQ(steps[0], 12);
  EXPECT_EQ(steps[1], 10);
  EXPECT_TRUE(fs::exists(result.best_checkpoint));
  EXPECT_EQ(result.last_checkpoint, out + "/checkpoint-12");
}

TEST_F(TrainerTest, StopsEarlyAndLeavesTheBest) {
  CausalLM model = full();
  const std::string out = folder_.file("out");
  Trainer trainer(model, data(30, 6),
                  options({.learning_rate = 0.3,  // destroys the model
                           .max_steps = 50,
                           .evaluation = {.steps = 1},
                           .early_stopping_patience = 3,
                           .output_dir = out,
                           .save = {},
                           .load_best_model_at_end = true}));
  const TrainingResult result = trainer.train();
  EXPECT_EQ(result.end, TrainingEnd::early_stopping);
  EXPECT_LT(result.steps, 50);
  EXPECT_EQ(result.final_eval_loss, result.best_eval_loss);
  EXPECT_DOUBLE_EQ(trainer.evaluate().eval_loss, *result.best_eval_loss);
}

TEST_F(TrainerTest, AStopRequestSavesAndReturns) {
  CausalLM model = lora();
  const std::string out = folder_.file("out");
  std::stop_source source;
  TrainingCallbacks callbacks;
  callbacks.on_step = [&](const TrainingStep& step, TrainingControl&) {
    if (step.step == 3) source.request_stop();
  };
  const TrainingResult result =
      Trainer(model, data(20), options({.output_dir = out}), callbacks).train(source.get_token());
  EXPECT_EQ(result.end, TrainingEnd::cancelled);
  EXPECT_EQ(result.last_checkpoint, out + "/checkpoint-3");
  EXPECT_TRUE(fs::exists(out + "/checkpoint-3/adapter_model.safetensors"));
}

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

TEST_F(TrainerTest, OptionsThatMakeNoSense) {
  CausalLM frozen = CausalLM::from_pretrained(path_, {.dtype = Dtype::f32});
  const Dataset rows = data(8);
  expect_error(ErrorKind::usage, "set_requires_grad", [&] { Trainer trainer(frozen, rows, {}); });
  CausalLM model = full();
  expect_error(ErrorKind::usage, "micro_batch_size", [&] { Trainer trainer(model, rows, {.micro_batch_size = 0}); });
  expect_error(ErrorKind::usage, "epochs", [&] { Trainer trainer(model, rows, {.epochs = 0}); });
  expect_error(ErrorKind::usage, "precision", [&] { Trainer trainer(model, rows, {.precision = Dtype::bf16}); });
  expect_error(ErrorKind::usage, "validation", [&] { Trainer trainer(model, rows, {.early_stopping_patience = 1}); });
  expect_error(ErrorKind::usage, "held-back", [&] { Trainer(model, rows, {}).evaluate(); });
}

}  // namespace
}  // namespace powerhouse
