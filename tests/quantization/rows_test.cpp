// quantize_rows: the reference's bytes on any number of threads, from any type, in parts; and what it refuses.
#include "quantization/rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "expect_error.h"
#include "kernels/reference/dequantize.h"
#include "kernels/reference/encode.h"
#include "support/thread_team.h"

namespace powerhouse {
namespace {

using testing::expect_error;

constexpr std::int64_t kRows = 300;
constexpr std::int64_t kColumns = 512;

std::vector<float> normal_rows(std::int64_t count = kRows * kColumns) {
  std::mt19937 engine(3);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = normal(engine);
  return values;
}

RowsToQuantize rows_of(const std::vector<float>& values) {
  return {.tensor = "blk.0.ffn_up.weight",
          .data = values.data(),
          .rows = static_cast<std::int64_t>(values.size()) / kColumns,
          .columns = kColumns};
}

std::vector<std::byte> quantized(BlockFormat format, const RowsToQuantize& rows, ErrorSums* error = nullptr) {
  std::vector<std::byte> out(quantized_bytes(format, rows.rows, rows.columns));
  const ErrorSums made = quantize_rows(format, rows, out);
  if (error != nullptr) *error = made;
  return out;
}

class Threads {
 public:
  explicit Threads(int count) : before_(team_threads()) { set_team_threads(count); }
  ~Threads() { set_team_threads(before_); }

 private:
  int before_;
};

TEST(QuantizeRows, MakesTheReferencesBytesOnAnyNumberOfThreads) {
  const std::vector<float> values = normal_rows();
  for (const BlockFormat format : {BlockFormat::q4_k, BlockFormat::q8_0, BlockFormat::iq3_s, BlockFormat::bf16}) {
    const RowsToQuantize rows = rows_of(values);
    const std::size_t row_bytes = quantized_bytes(format, 1, kColumns);
    std::vector<std::byte> expected(row_bytes * static_cast<std::size_t>(kRows));
    for (std::size_t row = 0; row < static_cast<std::size_t>(kRows); ++row) {
      ASSERT_TRUE(
          encode_row(format, values.data() + row * kColumns, nullptr, kColumns, expected.data() + row * row_bytes));
    }
    ErrorSums errors[2];
    for (const int threads : {1, 3}) {
      const Threads team(threads);
      EXPECT_EQ(quantized(format, rows, &errors[threads / 2]), expected) << block_info(format).name;
    }
    EXPECT_EQ(errors[0].squared_error, errors[1].squared_error);
  }
}

TEST(QuantizeRows, ReadsHalvesAndTakesParts) {
  const std::vector<float> values = normal_rows();
  std::vector<bfloat16> halves(values.size());
  std::vector<float> widened(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    halves[i] = rounded<bfloat16>(values[i]);
    widened[i] = to_float(halves[i]);
  }
  ErrorSums whole;
  const std::vector<std::byte> expected = quantized(BlockFormat::q6_k, rows_of(widened), &whole);
  RowsToQuantize part = rows_of(widened);
  part.data = halves.data();
  part.type = Element::bf16;
  EXPECT_EQ(quantized(BlockFormat::q6_k, part), expected);

  std::vector<std::byte> joined;
  for (const std::int64_t first : {0, 100, 299}) {
    const std::int64_t end = first == 0 ? 100 : first == 100 ? 299 : kRows;
    part.data = halves.data() + first * kColumns;
    part.rows = end - first;
    const std::vector<std::byte> some = quantized(BlockFormat::q6_k, part);
    joined.insert(joined.end(), some.begin(), some.end());
  }
  EXPECT_EQ(joined, expected);
}

TEST(QuantizeRows, SaysWhatWasLost) {
  const std::vector<float> values = normal_rows();
  double before = 0;
  for (const BlockFormat format : {BlockFormat::f32, BlockFormat::f16, BlockFormat::q8_0, BlockFormat::q6_k,
                                   BlockFormat::q5_k, BlockFormat::q4_k, BlockFormat::q3_k, BlockFormat::q2_k}) {
    ErrorSums error;
    const std::vector<std::byte> blocks = quantized(format, rows_of(values), &error);
    std::vector<float> back(values.size());
    dequantize_row(format, blocks.data(), back.data(), static_cast<std::int64_t>(back.size()));
    double squared = 0;
    double size = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      squared += std::pow(static_cast<double>(back[i]) - static_cast<double>(values[i]), 2);
      size += std::pow(static_cast<double>(values[i]), 2);
    }
    EXPECT_NEAR(error.relative(), std::sqrt(squared / size), 1e-12);
    EXPECT_GE(error.relative(), before) << block_info(format).name;
    before = error.relative();
  }
  EXPECT_GT(before, 0.2);
  EXPECT_LT(before, 0.4);
}

TEST(QuantizeRows, WeighsColumnsByImportance) {
  const std::vector<float> values = normal_rows();
  std::vector<float> importance(kColumns, 0.01f);
  for (std::size_t i = 0; i < importance.size(); i += 4) importance[i] = 100.0f;
  RowsToQuantize rows = rows_of(values);
  const auto error_of_important = [&](BlockFormat format) {
    const std::vector<std::byte> blocks = quantized(format, rows);
    std::vector<float> back(values.size());
    dequantize_row(format, blocks.data(), back.data(), static_cast<std::int64_t>(back.size()));
    double sum = 0;
    for (std::size_t i = 0; i < values.size(); i += 4) sum += std::pow(static_cast<double>(back[i] - values[i]), 2);
    return sum;
  };
  for (const BlockFormat format : {BlockFormat::q2_k, BlockFormat::q4_k, BlockFormat::q4_0, BlockFormat::iq3_xxs}) {
    rows.importance = {};
    const double without = error_of_important(format);
    rows.importance = importance;
    EXPECT_LT(error_of_important(format), 0.9 * without) << block_info(format).name;
  }
}

TEST(QuantizeRows, NamesTheFirstRowThatIsNotFinite) {
  std::vector<float> values = normal_rows();
  values[200 * kColumns + 7] = std::numeric_limits<float>::quiet_NaN();
  values[130 * kColumns + 500] = -std::numeric_limits<float>::infinity();
  RowsToQuantize rows = rows_of(values);
  rows.first_row = 1000;
  for (const BlockFormat format : {BlockFormat::q4_k, BlockFormat::q8_0, BlockFormat::iq2_s, BlockFormat::bf16}) {
    expect_error(ErrorKind::numeric, "-inf in row 1130, column 500", [&] { quantized(format, rows); });
  }
  expect_error(ErrorKind::numeric, "blk.0.ffn_up.weight", [&] { quantized(BlockFormat::q4_k, rows); });
}

TEST(QuantizeRows, RefusesValuesThatTheTypeCannotHold) {
  std::vector<float> values = normal_rows();
  values[3 * kColumns] = 3e38f;
  RowsToQuantize rows = rows_of(values);
  for (const BlockFormat format :
       {BlockFormat::f16, BlockFormat::q4_0, BlockFormat::nvfp4, BlockFormat::iq3_s, BlockFormat::q8_0,
        BlockFormat::q4_k, BlockFormat::q6_k, BlockFormat::iq4_xs, BlockFormat::tq2_0}) {
    expect_error(ErrorKind::numeric, "row 3", [&] { quantized(format, rows); });
  }
  for (const BlockFormat format : {BlockFormat::f32, BlockFormat::bf16, BlockFormat::mxfp4}) {
    EXPECT_NO_THROW(quantized(format, rows));
  }
  values[3 * kColumns] = 1e6f;
  EXPECT_NO_THROW(quantized(BlockFormat::q4_k, rows));
  const std::vector<float> importance(kColumns, 3e38f);
  rows.importance = importance;
  expect_error(ErrorKind::numeric, "their squares leave float32", [&] { quantized(BlockFormat::iq3_s, rows); });
}

TEST(QuantizeRows, RefusesWhatDoesNotFit) {
  const std::vector<float> values = normal_rows(kColumns);
  RowsToQuantize rows = rows_of(values);
  rows.columns = 48;
  expect_error(ErrorKind::usage, "a multiple of 256 columns", [&] { quantized(BlockFormat::q4_k, rows); });
  expect_error(ErrorKind::usage, "a multiple of 32 columns", [&] { quantized(BlockFormat::iq4_nl, rows); });
  rows = rows_of(values);
  for (const BlockFormat format : {BlockFormat::iq1_s, BlockFormat::iq2_xxs, BlockFormat::iq2_xs}) {
    expect_error(ErrorKind::usage, "needs the importance", [&] { quantized(format, rows); });
  }
  expect_error(ErrorKind::unsupported, "Q8_K", [&] { quantized(BlockFormat::q8_k, rows); });
  expect_error(ErrorKind::unsupported, "NF4", [&] { quantized(BlockFormat::nf4, rows); });
  std::vector<float> importance(100, 1.0f);
  rows.importance = importance;
  expect_error(ErrorKind::usage, "another number of columns", [&] { quantized(BlockFormat::q4_k, rows); });
  importance.assign(kColumns, 1.0f);
  importance[9] = -1.0f;
  rows.importance = importance;
  expect_error(ErrorKind::numeric, "in column 9", [&] { quantized(BlockFormat::q4_k, rows); });
  importance[9] = std::numeric_limits<float>::infinity();
  expect_error(ErrorKind::numeric, "in column 9", [&] { quantized(BlockFormat::q4_k, rows); });
  std::vector<std::byte> small(10);
  rows.importance = {};
  expect_error(ErrorKind::usage, "room for", [&] { quantize_rows(BlockFormat::q4_k, rows, small); });
}

TEST(QuantizeRows, TakesNoRows) {
  RowsToQuantize rows{.tensor = "empty", .columns = 256};
  EXPECT_EQ(quantized(BlockFormat::q4_k, rows).size(), 0u);
}

}  // namespace
}  // namespace powerhouse
