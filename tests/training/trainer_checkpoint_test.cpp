// Checkpoints of a run: resumed bit for bit, after a kill too; a full disk and damage; which of them stay.
#include <gmock/gmock.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers)
#include <sys/resource.h>

#include <filesystem>
#include <fstream>

#include "expect_error.h"
#include "training/checkpoint.h"
#include "training/trainer_fixture.h"

namespace powerhouse {
namespace {

namespace fs = std::filesystem;
using testing::copy_weights;
using testing::expect_error;
using ::testing::HasSubstr;
using testing::same_bits;
using testing::TrainerTest;

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

// A run whose best evaluation lies behind it goes on in another folder: the best stays where it is, and is found there.
TEST_F(TrainerTest, TheBestOfTheFirstFolder) {
  TrainingOptions base = options({.learning_rate = 0.3,  // destroys the model
                                  .max_steps = 6,
                                  .evaluation = {.steps = 2},
                                  .output_dir = folder_.file("first"),
                                  .save = {.steps = 2},
                                  .save_total_limit = 1,
                                  .load_best_model_at_end = true});
  TrainingCallbacks stop_at_4;
  stop_at_4.on_step = [](const TrainingStep& step, TrainingControl& control) { control.stop = step.step == 4; };
  CausalLM model = full();
  EXPECT_EQ(Trainer(model, data(30, 6), base, stop_at_4).train().best_checkpoint, folder_.file("first/checkpoint-0"));
  const auto best_loss = Trainer(model, data(30, 6), base).evaluate().eval_loss;

  // The folder may have been moved by then.
  fs::rename(folder_.file("first"), folder_.file("moved"));
  base.output_dir = folder_.file("second");
  base.resume_from_checkpoint = folder_.file("moved/checkpoint-4");
  TrainingResult result = Trainer(model, data(30, 6), base).train();
  EXPECT_EQ(result.steps, 6);
  EXPECT_TRUE(fs::equivalent(result.best_checkpoint, folder_.file("moved/checkpoint-0")));
  EXPECT_EQ(result.final_eval_loss, best_loss);
  EXPECT_EQ(Trainer(model, data(30, 6), base).evaluate().eval_loss, best_loss);

  // And once more, from the second folder into a third.
  base.output_dir = folder_.file("third");
  base.resume_from_checkpoint = folder_.file("second/checkpoint-6");
  result = Trainer(model, data(30, 6), base).train();
  EXPECT_TRUE(fs::equivalent(result.best_checkpoint, folder_.file("moved/checkpoint-0")));
  EXPECT_TRUE(warnings_.empty());

  // What is gone is said.
  fs::remove_all(folder_.file("moved"));
  result = Trainer(model, data(30, 6), base).train();
  EXPECT_EQ(result.best_checkpoint, "");
  ASSERT_EQ(warnings_.size(), 1u);
  EXPECT_THAT(warnings_[0], HasSubstr("the checkpoint of the best evaluation is not there"));
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

}  // namespace
}  // namespace powerhouse
