// What a run writes beside checkpoints: logs, TensorBoard's frames, the report, and the arithmetic of steps.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include "expect_error.h"
#include "support/crc32c.h"
#include "support/mapped_file.h"

#include "temporary_folder.h"
#include "training/event_file.h"
#include "training/html_report.h"
#include "training/progress.h"
#include "training/row_log.h"
#include "training/run_files.h"
#include "training/step_plan.h"
#include "training/watchdog.h"

namespace powerhouse {
namespace {

using testing::expect_error;
using ::testing::HasSubstr;
using ::testing::Not;

// The check values of RFC 3720, B.4.
TEST(Crc32c, ThatOfTheRfc) {
  EXPECT_EQ(crc32c("123456789", 9), 0xE3069283u);
  const std::string zeros(32, '\0'), ones(32, '\xff');
  EXPECT_EQ(crc32c(zeros.data(), zeros.size()), 0x8A9136AAu);
  EXPECT_EQ(crc32c(ones.data(), ones.size()), 0x62A8AB43u);
  EXPECT_EQ(crc32c("6789", 4, crc32c("12345", 5)), 0xE3069283u);
}

std::string bytes_of(const Json& row, const char* key) {
  std::string bytes;
  for (const Json& byte : row.at(key).as_array()) bytes += static_cast<char>(byte.as_integer());
  return bytes;
}

// Against the bytes that the tensorboard package writes (tests/oracles/event_files.py).
TEST(EventFile, TheBytesOfTensorBoard) {
  const Json fixture = Json::parse_file(POWERHOUSE_FIXTURES "/training/event_file.json");
  EXPECT_EQ(tfrecord_frame(file_version_event(fixture.at("wall_time").as_double())),
            bytes_of(fixture, "version_frame"));
  for (const Json& row : fixture.at("scalars").as_array()) {
    Scalars scalars;
    for (const Json& scalar : row.at("values").as_array()) {
      scalars.emplace_back(scalar.at("tag").as_string(), scalar.at("value").as_double());
    }
    EXPECT_EQ(tfrecord_frame(scalars_event(row.at("wall_time").as_double(), row.at("step").as_integer(), scalars)),
              bytes_of(row, "frame"));
  }
}

TEST(EventFile, HasANameThatTensorBoardLooksFor) {
  const testing::TemporaryFolder folder;
  const EventFile first(folder.file("runs")), second(folder.file("runs"));
  EXPECT_THAT(first.path(), HasSubstr("/events.out.tfevents."));
  EXPECT_NE(first.path(), second.path());
  expect_error(ErrorKind::io, "/proc/none", [] { EventFile file("/proc/none"); });
}

TEST(RowLog, KeepsTheStepsBeforeTheOneResumedFrom) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("log.jsonl");
  const auto write = [&](RowLog& log, std::int64_t step) {
    JsonObject row;
    row["step"] = step;
    log.write(row);
  };
  {
    RowLog log(path, -1);
    for (std::int64_t step = 1; step <= 5; ++step) write(log, step);
  }
  {
    std::ofstream(path, std::ios::app) << "{\"step\": 6, \"lo";  // killed while writing
  }
  EXPECT_EQ(read_rows(path).size(), 5u);
  {
    RowLog log(path, 3);
    write(log, 4);
  }
  const std::vector<Json> rows = read_rows(path);
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[3].at("step").as_integer(), 4);
  { RowLog log(path, -1); }
  EXPECT_TRUE(read_rows(path).empty());
}

TEST(HtmlReport, ShowsCurvesAndNeedsNothingElse) {
  std::vector<Json> rows;
  for (std::int64_t step = 1; step <= 3000; ++step) {
    JsonObject row;
    row["step"] = step;
    row["loss"] = 3.0 / static_cast<double>(step);
    row["learning_rate"] = 1e-4;
    rows.emplace_back(std::move(row));
  }
  JsonObject evaluation;
  evaluation["step"] = 3000;
  evaluation["eval_loss"] = 1.25;
  rows.emplace_back(std::move(evaluation));
  const std::string html = html_report("A <run>", {{"model", "a & b"}}, rows);
  EXPECT_THAT(html, HasSubstr("A &lt;run&gt;"));
  EXPECT_THAT(html, HasSubstr("a &amp; b"));
  EXPECT_THAT(html, HasSubstr("<polyline"));
  EXPECT_THAT(html, HasSubstr("step 3000: 1.25"));
  for (const char* foreign : {"<script", "http://", "https://", "<link", "nan", "inf"}) {
    EXPECT_THAT(html, Not(HasSubstr(foreign)));
  }
  EXPECT_LT(html.size(), 200'000u);
  EXPECT_THAT(html_report("empty", {}, {}), Not(HasSubstr("<svg")));
}

TEST(HtmlReport, DrawsMetricsOfAMethodBesideEachOther) {
  const Json::Array rows{
      Json::parse(R"({"step": 1, "loss": 0.7, "rewards/chosen": 0.5, "rewards/rejected": -0.5, "kl<": 2})", "1"),
      Json::parse(R"({"step": 2, "event": "skipped_step", "rows": "a:1"})", "2"),
      Json::parse(R"({"step": 2, "eval_loss": 0.6, "eval_rewards/chosen": 0.75, "eval_rewards/accuracies": 1})", "3")};
  const std::string html = html_report("run", {}, rows);
  for (const char* title : {"<h2>rewards</h2>", "<h2>rewards/accuracies</h2>", "<h2>kl&lt;</h2>"}) {
    EXPECT_THAT(html, HasSubstr(title));
  }
  EXPECT_THAT(html, HasSubstr("chosen, last 0.5"));
  EXPECT_THAT(html, HasSubstr("rejected, last -0.5"));
  EXPECT_THAT(html, HasSubstr("chosen, held-back rows, last 0.75"));
  EXPECT_THAT(html, Not(HasSubstr("<h2>event")));
  EXPECT_THAT(html, Not(HasSubstr("<h2>rows")));
}

// Metrics under TRL's names in the log: those of evaluations with "eval_" in front, as transformers has it.
TEST(RunFiles, MetricsAreKeysOfTheirRow) {
  const testing::TemporaryFolder folder;
  {
    RunFiles files({.output_dir = folder.path(), .progress = false}, 0, false, 1, {});
    files.step({.step = 1, .loss = 0.5, .metrics = {{"rewards/margins", 0.25}}}, {{"a.jsonl", 3}});
    files.evaluation({.step = 1, .eval_loss = 0.75, .metrics = {{"rewards/margins", 0.5}}});
  }
  const std::vector<Json> rows = read_rows(folder.file("train_log.jsonl"));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].at("rewards/margins").as_double(), 0.25);
  EXPECT_EQ(rows[1].at("eval_rewards/margins").as_double(), 0.5);
  EXPECT_EQ(rows[1].get("rewards/margins"), nullptr);
}

TEST(Progress, SaysLossSpeedAndTimeLeft) {
  EXPECT_EQ(duration_text(3723), "1:02:03");
  EXPECT_EQ(duration_text(59.6), "1:00");
  const TrainingStep step{.step = 5, .loss = 1.5, .tokens_per_second = 321.4};
  EXPECT_EQ(progress_text(step, 20, 61, 8), "step 5/20 [##......] loss 1.5000, 321 tokens/s, 1:01 left");
}

StepPlan plan_of(std::int64_t batches, double epochs, std::int64_t max_steps = 0, std::int64_t accumulation = 1) {
  return StepPlan([batches](std::int64_t) { return batches; }, epochs, max_steps, accumulation);
}

TEST(StepPlan, CountsStepsAsTransformersDoes) {
  EXPECT_EQ(plan_of(10, 1).total_steps(), 10);
  EXPECT_EQ(plan_of(10, 3, 0, 4).total_steps(), 9);  // the last step of an epoch has 2 batches
  EXPECT_EQ(plan_of(10, 0.25).total_steps(), 3);
  EXPECT_EQ(plan_of(10, 0.1).total_steps(), 1);
  EXPECT_EQ(plan_of(10, 1.5).total_steps(), 15);
  EXPECT_EQ(plan_of(10, 1, 7).total_steps(), 7);
  EXPECT_EQ(plan_of(10, 1, 25).total_steps(), 25);
  EXPECT_DOUBLE_EQ(plan_of(10, 3).epoch(10), 1);
  EXPECT_DOUBLE_EQ(plan_of(10, 3).epoch(15), 1.5);
  EXPECT_DOUBLE_EQ(plan_of(10, 1, 25).epoch(25), 2.5);
  expect_error(ErrorKind::usage, "without a batch", [] { plan_of(0, 1); });
}

std::vector<std::int64_t> due_steps(const StepPlan& plan, const Cadence& cadence) {
  std::vector<std::int64_t> steps;
  for (std::int64_t step = 1; step <= plan.total_steps(); ++step) {
    if (plan.due(cadence, step)) steps.push_back(step);
  }
  return steps;
}

TEST(StepPlan, KnowsWhatIsDue) {
  using ::testing::ElementsAre;
  EXPECT_THAT(due_steps(plan_of(10, 1), {.steps = 4}), ElementsAre(4, 8));
  EXPECT_THAT(due_steps(plan_of(10, 1), {.steps = 0.25}), ElementsAre(3, 6, 9));
  EXPECT_THAT(due_steps(plan_of(5, 2), {.per_epoch = 1}), ElementsAre(5, 10));
  EXPECT_THAT(due_steps(plan_of(10, 1), {.per_epoch = 4}), ElementsAre(3, 5, 8, 10));
  EXPECT_THAT(due_steps(plan_of(3, 1), {.per_epoch = 7}), ElementsAre(1, 2, 3));
  EXPECT_TRUE(due_steps(plan_of(3, 1), {}).empty());
}

TEST(Watchdog, SkipsSpikesAndGoesBackAfterSeveral) {
  Watchdog dog({.factor = 3, .patience = 2, .max_rollbacks = 1});
  std::string reason;
  for (int i = 0; i < 20; ++i) EXPECT_EQ(dog.judge(1.0 + 0.01 * i, reason), Watchdog::Verdict::good);
  EXPECT_EQ(dog.judge(9, reason), Watchdog::Verdict::skip);
  EXPECT_THAT(reason, HasSubstr("jumps to 9"));
  EXPECT_EQ(dog.judge(1, reason), Watchdog::Verdict::good);
  EXPECT_EQ(dog.judge(9, reason), Watchdog::Verdict::skip);
  Watchdog copy({.factor = 3, .patience = 2, .max_rollbacks = 1});
  copy.restore(Json::parse(dog.state().dump(), "state"));
  for (Watchdog* one : {&dog, &copy}) {
    EXPECT_EQ(one->judge(9, reason), Watchdog::Verdict::roll_back);
    one->rolled_back();
    EXPECT_EQ(one->judge(9, reason), Watchdog::Verdict::skip);
    expect_error(ErrorKind::numeric, "stays too high", [&] { one->judge(9, reason); });
  }
}

TEST(Watchdog, NumbersThatAreNotFiniteEndARunInTheEnd) {
  Watchdog dog({.max_not_finite = 3});
  std::string reason;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(dog.judge(nan, reason), Watchdog::Verdict::skip);
  EXPECT_EQ(dog.judge(1, reason), Watchdog::Verdict::good);
  dog.applied();
  EXPECT_EQ(dog.judge(nan, reason), Watchdog::Verdict::skip);
  EXPECT_EQ(dog.judge(nan, reason), Watchdog::Verdict::skip);
  expect_error(ErrorKind::numeric, "3 steps", [&] { dog.judge(nan, reason); });
}

}  // namespace
}  // namespace powerhouse
