// int8 by the textbook's formulas and LLM.int8(), held to tests/oracles/int8.py.
#include <gtest/gtest.h>

#include <cmath>

#include "expect_error.h"
#include "powerhouse/error.h"
#include "powerhouse/int8.h"
#include "support/json.h"

namespace powerhouse {
namespace {

using testing::expect_error;

class Int8 : public ::testing::Test {
 protected:
  std::vector<float> get(const std::string& name) const {
    std::vector<float> values;
    for (const Json& value : json_.at(name).as_array()) values.push_back(static_cast<float>(value.as_double()));
    return values;
  }
  Json json_ = Json::parse_file(std::string(POWERHOUSE_FIXTURES) + "/quantization/int8.json");
};

std::vector<float> as_floats(const std::vector<std::int8_t>& codes) { return {codes.begin(), codes.end()}; }

TEST_F(Int8, FollowsTheFormulas) {
  const std::vector<float> x = get("x");
  const std::pair<const char*, Int8Granularity> kinds[] = {
      {"tensor", Int8Granularity::tensor}, {"channel", Int8Granularity::channel}, {"group", Int8Granularity::group}};
  for (const auto& [kind, granularity] : kinds) {
    double relative[2];
    for (const bool zero_point : {false, true}) {
      const std::string name = std::string(zero_point ? "zero_point_" : "absmax_") + kind;
      const Int8Matrix found =
          quantize_int8(x, 6, 64, {.zero_point = zero_point, .granularity = granularity, .group_size = 16});
      EXPECT_EQ(as_floats(found.codes), get(name + "_codes")) << name;
      EXPECT_EQ(found.scales, get(name + "_scales")) << name;
      if (zero_point) {
        EXPECT_EQ(found.zeros, get(name + "_zeros")) << name;
      }
      const std::vector<float> values = dequantize_int8(found);
      EXPECT_EQ(values, get(name + "_values")) << name;
      relative[zero_point ? 1 : 0] = quantization_error(x, values).relative;
    }
    EXPECT_GT(relative[0], 0);
    EXPECT_LT(relative[0], 0.02) << kind;
  }
}

TEST_F(Int8, ErrorsAreThoseOfTheDifference) {
  const std::vector<float> values = {3, -4, 0, 0}, other = {3, -4, 0.5f, -1};
  const QuantizationError error = quantization_error(values, other);
  EXPECT_DOUBLE_EQ(error.mean_squared, 1.25 / 4);
  EXPECT_DOUBLE_EQ(error.relative, std::sqrt(1.25 / 25));
  EXPECT_DOUBLE_EQ(error.largest, 1);
}

TEST_F(Int8, TakesZerosAndConstants) {
  const std::vector<float> zeros(8), threes(8, 3.0f);
  for (const bool zero_point : {false, true}) {
    EXPECT_EQ(dequantize_int8(quantize_int8(zeros, 2, 4, {.zero_point = zero_point})), zeros) << zero_point;
  }
  for (const float value : dequantize_int8(quantize_int8(threes, 2, 4))) EXPECT_FLOAT_EQ(value, 3.0f);
}

TEST_F(Int8, HasBitsandbytesCodes) {
  const Int8Rows weight = quantize_int8_rows(get("weight"), 10, 64);
  EXPECT_EQ(as_floats(weight.codes), get("weight_codes"));
  EXPECT_EQ(weight.absmax, get("weight_absmax"));
  const Int8Activations activations = quantize_int8_activations(get("activations"), 5, 64);
  EXPECT_EQ(as_floats(activations.rows.codes), get("activation_codes"));
  EXPECT_EQ(activations.rows.absmax, get("activation_absmax"));
  const std::vector<float> outliers(activations.outliers.begin(), activations.outliers.end());
  EXPECT_EQ(outliers, get("outliers"));
}

TEST_F(Int8, MultipliesAsBitsandbytes) {
  const Int8Rows weight = quantize_int8_rows(get("weight"), 10, 64);
  const std::vector<float> found = int8_linear(get("activations"), 5, weight), expected = get("product");
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 2e-6f) << i;
  // Without a threshold the outlier ruins its row's other codes.
  const std::vector<float> coarse = int8_linear(get("activations"), 5, weight, 0);
  EXPECT_NE(coarse, found);
}

TEST_F(Int8, RefusesWhatHasNoCodes) {
  const std::vector<float> ones(8, 1.0f), bad = {1, NAN, 1, 1}, large = {1, 1e6f, 1, 1};
  expect_error(ErrorKind::usage, "3 x 4", [&] { quantize_int8(ones, 3, 4); });
  expect_error(ErrorKind::usage, "group_size",
               [&] { quantize_int8(ones, 2, 4, {.granularity = Int8Granularity::group, .group_size = 3}); });
  expect_error(ErrorKind::numeric, "finite", [&] { quantize_int8(bad, 1, 4); });
  expect_error(ErrorKind::numeric, "float16", [&] { quantize_int8_rows(large, 1, 4); });
  expect_error(ErrorKind::usage, "different sizes", [&] { quantization_error(ones, bad); });
}

}  // namespace
}  // namespace powerhouse
