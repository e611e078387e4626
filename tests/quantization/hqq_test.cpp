// Half-quadratic quantization, held to tests/oracles/half_quadratic.py.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "expect_error.h"
#include "formats/hqq.h"
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
                                      {"b1_g32", {.bits = 1, .group_size = 32}},
                                      {"b4_plain", {.optimize = false}},
                                      {"b4_round_zero", {.round_zero = true}}}) {
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

// Its codes in its packing.
TEST(Hqq, PacksThePackagesBytes) {
  int packings = 0;
  for (const auto& [name, expected] : fixture().as_object()) {
    if (name == "x") continue;
    HqqOptions options{.bits = name[1] - '0'};
    if (name[3] == 'g') options.group_size = std::stoi(name.substr(4));
    HqqMatrix matrix{.rows = 6, .columns = 128, .group_size = options.group_size, .bits = options.bits};
    for (const float code : numbers(expected.at("codes"))) matrix.codes.push_back(static_cast<std::uint8_t>(code));
    matrix.scales = numbers(expected.at("scales"));
    matrix.zeros = numbers(expected.at("zeros"));
    const std::vector<PackedTensor> tensors = pack_hqq(matrix, "m", options);
    const PackedTensor& codes = tensors.front();
    std::vector<std::int64_t> shape, elements;
    for (const Json& size : expected.at("packed_shape").as_array()) shape.push_back(size.as_integer());
    for (const Json& element : expected.at("packed").as_array()) elements.push_back(element.as_integer());
    EXPECT_EQ(codes.name, "m.W_q");
    EXPECT_EQ(codes.shape, shape) << name;
    const bool words = codes.format == BlockFormat::i32;
    ASSERT_EQ(codes.bytes.size(), elements.size() * (words ? 4 : 1)) << name;
    for (std::size_t i = 0; i < elements.size(); ++i) {
      std::int32_t element = std::to_integer<std::uint8_t>(codes.bytes[words ? 4 * i : i]);
      if (words) std::memcpy(&element, codes.bytes.data() + 4 * i, sizeof element);
      ASSERT_EQ(element, elements[i]) << name << " " << i;
    }
    const auto packing =
        std::find_if(tensors.begin(), tensors.end(), [](const auto& t) { return t.name == "m.packing"; });
    ASSERT_NE(packing, tensors.end());
    const std::string text(reinterpret_cast<const char*>(packing->bytes.data()), packing->bytes.size());
    EXPECT_EQ(text, expected.at("packing").as_string()) << name;
    ++packings;
  }
  EXPECT_EQ(packings, 7);
}

TEST(Hqq, RefusesWhatHasNoPacking) {
  expect_error(ErrorKind::unsupported, "1 to 6", [] { check_hqq_packing(4, 64, "m", {.bits = 7}); });
  expect_error(ErrorKind::unsupported, "m: ", [] { check_hqq_packing(3, 64, "m", {}); });
  check_hqq_packing(3, 64, "m", {.bits = 3});
  HqqMatrix far{.rows = 1, .columns = 2, .group_size = 2, .bits = 4, .codes = {0, 15}, .scales = {1}, .zeros = {1e6f}};
  expect_error(ErrorKind::numeric, "float16", [&] { round_levels(far, "m"); });
  EXPECT_EQ(hqq_module_tag("model.layers.12.block_sparse_moe.experts.3.w1"), "block_sparse_moe.experts.w1");
  EXPECT_EQ(hqq_module_tag("model.decoder.project_in"), "decoder.project_in");
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
