// The trainer on a tiny model: that it learns, what accumulation and packing must not change, and where it ends.
#include <gmock/gmock.h>

#include <filesystem>

#include "expect_error.h"
#include "training/trainer_fixture.h"

namespace powerhouse {
namespace {

namespace fs = std::filesystem;
using testing::copy_weights;
using testing::expect_error;
using ::testing::HasSubstr;
using testing::largest_difference;
using testing::same_bits;
using testing::TrainerTest;
using testing::Weights;

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

TEST_F(TrainerTest, ABudgetOfActivationsChangesNoBit) {
  const auto trained = [&](std::uint64_t budget) {
    CausalLM model = full();
    Trainer(model, data(12), options({.micro_batch_size = 2, .activation_memory_budget = budget})).train();
    return copy_weights(model);
  };
  const Weights plain = trained(0);
  EXPECT_TRUE(same_bits(trained(std::uint64_t{1} << 40), plain));
  EXPECT_TRUE(warnings_.empty());
  EXPECT_TRUE(same_bits(trained(1), plain));
  ASSERT_EQ(warnings_.size(), 1u);  // once, not at every step
  EXPECT_THAT(warnings_[0], HasSubstr("more than activation_memory_budget"));
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
  const Dataset held_back = data(8, 0.25);
  for (const TrainingOptions& needs :
       {TrainingOptions{.early_stopping_patience = 1}, TrainingOptions{.save_best = true},
        TrainingOptions{.output_dir = "x", .load_best_model_at_end = true}}) {
    TrainingOptions never = needs;
    never.evaluation = {};
    expect_error(ErrorKind::usage, "evaluation", [&] { Trainer trainer(model, held_back, never); });
  }
  expect_error(ErrorKind::usage, "save", [&] { Trainer trainer(model, rows, {.save = {.steps = 2.5}}); });
  expect_error(ErrorKind::usage, "activation_memory_budget",
               [&] { Trainer trainer(model, rows, {.checkpointed_layers = 1, .activation_memory_budget = 1000}); });
  expect_error(ErrorKind::usage, "held-back", [&] { Trainer(model, rows, {}).evaluate(); });
}

}  // namespace
}  // namespace powerhouse
