// Schedules against transformers' own (tests/oracles/optimizers.py), names, ratios and values out of range.
#include "powerhouse/schedule.h"

#include <gtest/gtest.h>

#include "expect_error.h"
#include "support/json.h"

namespace powerhouse::testing {
namespace {

TEST(Schedule, HasTransformersMultipliers) {
  const Json cases = Json::parse_file(std::string(POWERHOUSE_FIXTURES) + "/training/schedules.json");
  ASSERT_EQ(cases.as_array().size(), 24u);
  for (const Json& item : cases.as_array()) {
    const Json& more = item.at("options");
    const ScheduleOptions options{.kind = schedule_kind(item.at("kind").as_string()),
                                  .warmup_steps = item.at("warmup_steps").as_integer(),
                                  .min_lr_ratio = more.double_or("min_lr_ratio", 0),
                                  .num_cycles = more.double_or("num_cycles", 0.5),
                                  .decay_steps = more.integer_or("decay_steps", 0)};
    const Json::Array& values = item.at("values").as_array();
    for (std::size_t step = 0; step < values.size(); ++step) {
      const double found =
          learning_rate_multiplier(options, static_cast<std::int64_t>(step), item.at("total").as_integer());
      EXPECT_NEAR(found, values[step].as_double(), 1e-12) << item.dump() << " step " << step;
    }
  }
}

TEST(Schedule, RoundsRatiosUpToSteps) {
  const ScheduleOptions by_ratio{.warmup_ratio = 0.03};
  const ScheduleOptions by_steps{.warmup_steps = 4};
  for (std::int64_t step = 0; step < 101; ++step) {
    EXPECT_EQ(learning_rate_multiplier(by_ratio, step, 101), learning_rate_multiplier(by_steps, step, 101)) << step;
  }
  const ScheduleOptions decay{.kind = ScheduleKind::wsd, .decay_ratio = 0.15};
  EXPECT_EQ(learning_rate_multiplier(decay, 8, 10), 1);  // ceil(1.5) steps of decay, of which the first is whole
  EXPECT_LT(learning_rate_multiplier(decay, 9, 10), 1);
}

TEST(Schedule, BoundsTheWarmupOfARatio) {
  const ScheduleOptions bounded{.warmup_ratio = 0.5, .max_warmup_steps = 10};
  EXPECT_LT(learning_rate_multiplier(bounded, 9, 100), 1);
  EXPECT_EQ(learning_rate_multiplier(bounded, 10, 100), 1);
  EXPECT_EQ(learning_rate_multiplier(bounded, 4, 8), 1);  // 4 steps are within the bound
  const ScheduleOptions by_steps{.warmup_steps = 20, .max_warmup_steps = 10};
  EXPECT_LT(learning_rate_multiplier(by_steps, 19, 100), 1);
}

TEST(Schedule, EndsLinearAtTheLowestRate) {
  const ScheduleOptions options{.kind = ScheduleKind::linear, .min_lr_ratio = 0.25};
  EXPECT_EQ(learning_rate_multiplier(options, 0, 10), 1);
  EXPECT_DOUBLE_EQ(learning_rate_multiplier(options, 5, 10), 0.625);
  EXPECT_DOUBLE_EQ(learning_rate_multiplier(options, 10, 10), 0.25);
  EXPECT_DOUBLE_EQ(learning_rate_multiplier(options, 12, 10), 0.25);
}

TEST(Schedule, RefusesWhatMakesNoSense) {
  const auto expect_range = [](const ScheduleOptions& options, std::string_view field, std::int64_t step = 0,
                               std::int64_t total = 10) {
    expect_error(ErrorKind::range, field, [&] { learning_rate_multiplier(options, step, total); });
  };
  expect_range({}, "step", -1);
  expect_range({}, "total_steps", 0, -1);
  expect_range({.warmup_steps = -1}, "warmup_steps");
  expect_range({.warmup_ratio = 1.5}, "warmup_ratio");
  expect_range({.max_warmup_steps = -1}, "max_warmup_steps");
  expect_range({.min_lr_ratio = -0.1}, "min_lr_ratio");
  expect_range({.kind = ScheduleKind::wsd, .warmup_steps = 6, .decay_steps = 5}, "decay_steps");
  expect_error(ErrorKind::usage, "cosin", [] { schedule_kind("cosin"); });
  expect_error(ErrorKind::unsupported, "polynomial", [] { schedule_kind("polynomial"); });
}

}  // namespace
}  // namespace powerhouse::testing
