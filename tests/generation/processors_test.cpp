// Processors against transformers' own (tests/oracles/processors.py), and options out of bounds.
#include "generation/processors.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "expect_error.h"
#include "support/json.h"

namespace powerhouse {
namespace {

TEST(Processors, LeaveWhatTransformersLeaves) {
  const Json cases = Json::parse_file(std::string(POWERHOUSE_FIXTURES) + "/generation/processors.json");
  ASSERT_EQ(cases.as_array().size(), 36u);
  for (const Json& item : cases.as_array()) {
    std::vector<float> logits;
    for (const Json& value : item.at("logits").as_array()) logits.push_back(static_cast<float>(value.as_double()));
    std::vector<std::int64_t> ids;
    for (const Json& value : item.at("ids").as_array()) ids.push_back(value.as_integer());
    const Json& given = item.at("options");
    const GenerationOptions options{
        .temperature = static_cast<float>(given.double_or("temperature", 1.0)),
        .top_k = given.integer_or("top_k", 0),
        .top_p = static_cast<float>(given.double_or("top_p", 1.0)),
        .min_p = static_cast<float>(given.double_or("min_p", 0.0)),
        .repetition_penalty = static_cast<float>(given.double_or("repetition_penalty", 1.0)),
    };
    process_logits(logits, options, {.ids = ids});
    const Json::Array& expected = item.at("expected").as_array();
    for (std::size_t i = 0; i < logits.size(); ++i) {
      if (expected[i].is_null()) {
        ASSERT_TRUE(std::isinf(logits[i])) << given.dump() << ", token " << i << " should be forbidden";
      } else {
        ASSERT_NEAR(logits[i], expected[i].as_double(), 1e-5) << given.dump() << ", token " << i;
      }
    }
  }
}

TEST(Processors, RunTheUsersOwnBetweenPenaltyAndTemperature) {
  std::vector<float> logits = {2.0f, 4.0f};
  const std::vector<std::int64_t> ids = {1};
  GenerationOptions options{.temperature = 2.0f, .repetition_penalty = 2.0f};
  options.processors.push_back([](std::span<float> row, const LogitsContext& context) {
    EXPECT_EQ(row[1], 2.0f);
    EXPECT_EQ(context.ids.size(), 1u);
    row[0] = 10.0f;
  });
  process_logits(logits, options, {.ids = ids});
  EXPECT_EQ(logits, (std::vector<float>{5.0f, 1.0f}));
}

TEST(Options, OutOfBoundsAreNamed) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  const auto expect = [](std::string_view field, const GenerationOptions& options) {
    testing::expect_error(ErrorKind::usage, field, [&] { check_options(options); });
  };
  for (const float bad : {-0.1f, nan, infinity}) expect("temperature", {.temperature = bad});
  for (const float bad : {0.0f, -1.0f, 1.1f, nan}) expect("top_p", {.top_p = bad});
  for (const float bad : {-0.1f, 1.1f, nan}) expect("min_p", {.min_p = bad});
  for (const float bad : {0.0f, -1.0f, nan, infinity}) expect("repetition_penalty", {.repetition_penalty = bad});
  expect("top_k", {.top_k = -1});
  expect("max_new_tokens", {.max_new_tokens = -1});
  expect("stop", {.stop = {""}});
  EXPECT_NO_THROW(check_options({}));
}

}  // namespace
}  // namespace powerhouse
