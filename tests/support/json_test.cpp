#include "support/json.h"

#include <gtest/gtest.h>

#include "expect_error.h"

namespace powerhouse {
namespace {

using testing::expect_error;

TEST(Json, KeepsTheOrderOfKeys) {
  const Json value = Json::parse(R"({"b": 1, "a": [true, null, 2.5, "x"], "c": {}})", "test");
  EXPECT_EQ(value.dump(), R"({"b":1,"a":[true,null,2.5,"x"],"c":{}})");
}

TEST(Json, TakesTheLastOfARepeatedKeyAtItsFirstPlace) {
  EXPECT_EQ(Json::parse(R"({"a": 1, "b": 2, "a": 3})", "test").dump(), R"({"a":3,"b":2})");
}

TEST(Json, FindsEveryKeyOfALargeObject) {
  std::string text = "{";
  for (int i = 0; i < 5000; ++i) text += (i > 0 ? "," : "") + ("\"k" + std::to_string(i) + "\":" + std::to_string(i));
  const Json value = Json::parse(text + "}", "test");
  for (int i = 0; i < 5000; ++i) EXPECT_EQ(value.at("k" + std::to_string(i)).as_integer(), i);
  EXPECT_EQ(value.get("absent"), nullptr);
  const Json copy = value;
  EXPECT_EQ(copy.at("k4999").as_integer(), 4999);
  EXPECT_EQ(copy.dump(), value.dump());
}

TEST(Json, TellsIntegersFromNumbers) {
  EXPECT_TRUE(Json::parse("5", "t").is_integer());
  EXPECT_TRUE(Json::parse("5.0", "t").is_double());
  EXPECT_EQ(Json::parse("5.0", "t").as_integer(), 5);
  EXPECT_EQ(Json::parse("-9223372036854775808", "t").as_integer(), INT64_MIN);
  expect_error(ErrorKind::format, "integer", [] { Json::parse("5.5", "t").as_integer("size"); });
}

TEST(Json, RefusesWhatIsNoJson) {
  for (const char* text : {"", "{", "[1,]", "{\"a\" 1}", "nul", "1 2", "\"\xff\"", "{\"a\":1}}"}) {
    expect_error(ErrorKind::format, "file.json", [&] { Json::parse(text, "file.json"); });
  }
  for (const std::string_view text : {std::string_view("{}\0 what else", 12), std::string_view("\0", 1)}) {
    expect_error(ErrorKind::format, "zero byte", [&] { Json::parse(text, "file.json"); });
  }
}

TEST(Json, RefusesDeepNesting) {
  const std::string deep(100'000, '[');
  expect_error(ErrorKind::format, "nested too deeply", [&] { Json::parse(deep, "t"); });
}

TEST(Json, NamesTheMissingKeyAndTheWrongType) {
  const Json value = Json::parse(R"({"a": "x", "n": null})", "t");
  expect_error(ErrorKind::format, "hidden_size", [&] { value.at("hidden_size"); });
  expect_error(ErrorKind::format, "n", [&] { value.at("n"); });
  expect_error(ErrorKind::format, "a: wrong JSON type (expected integer, found string)",
               [&] { value.integer_or("a", 1); });
}

}  // namespace
}  // namespace powerhouse
