// Half-quadratic quantization, held to tests/oracles/half_quadratic.py.
#include <gtest/gtest.h>

#include <cmath>

#include "expect_error.h"
#include "powerhouse/error.h"
#include "powerhouse/hqq.h"
#include "powerhouse/int8.h"
#include "support/json.h"

namespace powerhouse {
namespace {

using testing::expect_error;

std::vector<float> numbers(const Json& json) {
  std::vector<float> values;
  for (const Json& value : json.as_array()) values.push_back(static_cast<float>(value.as_double()));
  return values;
}

const Json& fixture() {
  static const Json json = Json::parse_file(std::string(POWERHOUSE_FIXTURES) + "/quantization/hqq.json");
  return json;
}

TEST(Hqq, FindsThePackagesNumbers) {
  const std::vector<float> x = numbers(fixture().at("x"));
  struct Case {
    const char* name;
    HqqOptions options;
  };
  for (const auto& [name, options] : {Case{"b4_g64", {}},
                                      {"b2_g16", {.bits = 2, .group_size = 16}},
                                      {"b3_g32", {.bits = 3, .group_size = 32}},
                                      {"b8_g128", {.bits = 8, .group_size = 128}},
                                      {"b4_plain", {.optimize = false}}}) {
    const Json& expected = fixture().at(name);
    const HqqMatrix found = quantize_hqq(x, 6, 128, options);
    EXPECT_EQ(found.scales, numbers(expected.at("scales"))) << name;
    const std::vector<float> zeros = numbers(expected.at("zeros"));
    ASSERT_EQ(found.zeros.size(), zeros.size()) << name;
    for (std::size_t i = 0; i < zeros.size(); ++i) {
      EXPECT_NEAR(found.zeros[i], zeros[i], 2e-5f * (1 + std::fabs(zeros[i]))) << name << " " << i;
    }
    // A code may fall to the other side where its number lies between two.
    const std::vector<float> codes = numbers(expected.at("codes"));
    int other = 0;
    for (std::size_t i = 0; i < codes.size(); ++i) other += static_cast<float>(found.codes[i]) != codes[i] ? 1 : 0;
    EXPECT_LE(other, 1) << name;
    const double error = quantization_error(x, dequantize_hqq(found)).relative;
    HqqMatrix package = found;
    package.codes.assign(codes.begin(), codes.end());
    package.zeros = zeros;
    const double theirs = quantization_error(x, dequantize_hqq(package)).relative;
    EXPECT_NEAR(error, theirs, 1e-3 * theirs) << name;
  }
}

// What it is for: less of the error that it minimizes than the range alone leaves.
TEST(Hqq, BeatsTheRange) {
  const std::vector<float> x = numbers(fixture().at("x"));
  const auto error = [&](bool optimize) {
    const std::vector<float> values =
        dequantize_hqq(quantize_hqq(x, 6, 128, {.bits = 2, .group_size = 32, .optimize = optimize}));
    double sum = 0;
    for (std::size_t i = 0; i < x.size(); ++i) sum += std::pow(std::fabs(x[i] - values[i]), 0.7);
    return sum;
  };
  EXPECT_LT(error(true), 0.97 * error(false));
}

TEST(Hqq, RefusesWhatDoesNotFit) {
  const std::vector<float> ones(128, 1.0f), bad = {1, INFINITY};
  expect_error(ErrorKind::usage, "group_size", [&] { quantize_hqq(ones, 1, 128, {.group_size = 48}); });
  expect_error(ErrorKind::usage, "bits", [&] { quantize_hqq(ones, 1, 128, {.bits = 9}); });
  expect_error(ErrorKind::usage, "norm", [&] { quantize_hqq(ones, 1, 128, {.norm = 0}); });
  expect_error(ErrorKind::usage, "2 x 128", [&] { quantize_hqq(ones, 2, 128); });
  expect_error(ErrorKind::numeric, "finite", [&] { quantize_hqq(bad, 1, 2, {.group_size = 2}); });
}

}  // namespace
}  // namespace powerhouse
