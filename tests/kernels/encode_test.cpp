// Encoders of block formats against ggml (tests/oracles/quantize.py): the same bytes.
#include "kernels/reference/encode.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <sstream>

#include "formats/safetensors.h"
#include "kernels/reference/dequantize.h"

namespace powerhouse {
namespace {

struct Fixture {
  SafetensorsFile file = read_safetensors(std::string(POWERHOUSE_FIXTURES) + "/kernels/quantize.safetensors");
  std::vector<std::string> names;
  std::vector<float> rows, importance;
  std::int64_t columns = 0;

  Fixture() {
    std::istringstream list(file.metadata.at(0).second);
    for (std::string name; std::getline(list, name, ',');) names.push_back(name);
    rows = floats("rows");
    importance = floats("importance");
    columns = static_cast<std::int64_t>(importance.size());
  }

  const TensorView* find(const std::string& name) const {
    for (const TensorView& view : file.tensors) {
      if (view.name == name) return &view;
    }
    return nullptr;
  }

  std::vector<float> floats(const std::string& name) const {
    const TensorView* const view = find(name);
    std::vector<float> values(view->bytes / sizeof(float));
    std::memcpy(values.data(), view->data, view->bytes);
    return values;
  }
};

const Fixture& fixture() {
  static const Fixture loaded;
  return loaded;
}

double squared_error(BlockFormat format, const std::uint8_t* block, const float* x) {
  float values[256];
  const int elements = block_info(format).block_elements;
  dequantize_row(format, block, values, elements);
  double sum = 0;
  for (int i = 0; i < elements; ++i) sum += std::pow(static_cast<double>(values[i]) - static_cast<double>(x[i]), 2);
  return sum;
}

/// ggml's IQ3_S does not move on in codes and signs after 32 zeros, so that what follows in the block stands in the
/// wrong place; we put it where readers look for it.
bool has_zero_group_before_others(const float* x) {
  bool zero_before = false;
  for (int group = 0; group < 8; ++group) {
    bool zero = true;
    for (int i = 0; i < 32; ++i) zero = zero && x[32 * group + i] == 0.0f;
    if (zero_before && !zero) return true;
    zero_before = zero_before || zero;
  }
  return false;
}

struct EncodeCase {
  BlockFormat format;
  bool weighted;
};

void compare_rows(const EncodeCase& test) {
  const Fixture& data = fixture();
  const BlockInfo info = block_info(test.format);
  const std::string name = std::string(info.name) + (test.weighted ? ".weighted" : ".plain");
  const TensorView* const expected = data.find(name);
  ASSERT_NE(expected, nullptr) << name;
  const TensorView* const there = data.find(name + ".there");
  const std::int64_t size = data.columns / info.block_elements * info.block_bytes;
  for (std::size_t row = 0; row < data.names.size(); ++row) {
    SCOPED_TRACE(name + ", row " + data.names[row]);
    const float* const x = data.rows.data() + static_cast<std::int64_t>(row) * data.columns;
    std::vector<std::uint8_t> out(static_cast<std::size_t>(size), 0xA5);
    const bool made =
        encode_row(test.format, x, test.weighted ? data.importance.data() : nullptr, data.columns, out.data());
    ASSERT_EQ(made, there->data[row] != std::byte{0});
    if (!made) continue;
    for (std::int64_t block = 0; block < size / info.block_bytes; ++block) {
      const auto* const theirs = reinterpret_cast<const std::uint8_t*>(expected->data) +
                                 static_cast<std::int64_t>(row) * size + block * info.block_bytes;
      const std::uint8_t* const ours = out.data() + block * info.block_bytes;
      const float* const values = x + block * info.block_elements;
      if (test.format == BlockFormat::iq3_s && has_zero_group_before_others(values)) {
        EXPECT_LT(squared_error(test.format, ours, values), squared_error(test.format, theirs, values));
        continue;
      }
      for (int i = 0; i < info.block_bytes; ++i) {
        ASSERT_EQ(ours[i], theirs[i]) << "block " << block << ", byte " << i;
      }
    }
  }
}

class Encode : public ::testing::TestWithParam<BlockFormat> {};

TEST_P(Encode, WritesTheBytesOfGgml) {
  if (!needs_importance(GetParam())) compare_rows({GetParam(), false});
  if (reads_importance(GetParam())) compare_rows({GetParam(), true});
}

TEST_P(Encode, ReadsImportanceWhereGgmlDoes) {
  const std::string name = block_info(GetParam()).name;
  EXPECT_EQ(reads_importance(GetParam()), fixture().find(name + ".weighted") != nullptr);
  EXPECT_EQ(needs_importance(GetParam()), fixture().find(name + ".plain") == nullptr);
}

std::vector<BlockFormat> encodable() {
  std::vector<BlockFormat> formats;
  for (int i = 0; i < kBlockFormatCount; ++i) {
    const auto format = static_cast<BlockFormat>(i);
    if (can_encode(format) && format != BlockFormat::f32) formats.push_back(format);
  }
  return formats;
}

INSTANTIATE_TEST_SUITE_P(Formats, Encode, ::testing::ValuesIn(encodable()),
                         [](const auto& test) { return std::string(block_info(test.param).name); });

TEST(Dequantize, ReadsWhatGgmlReads) {
  for (const BlockFormat format : {BlockFormat::nvfp4, BlockFormat::q1_0, BlockFormat::q2_0}) {
    const std::string name = block_info(format).name;
    const std::vector<float> expected = fixture().floats(name + ".values");
    std::vector<float> out(expected.size());
    dequantize_row(format, fixture().find(name + ".plain")->data, out.data(), static_cast<std::int64_t>(out.size()));
    EXPECT_EQ(std::memcmp(out.data(), expected.data(), out.size() * sizeof(float)), 0) << name;
  }
}

TEST(EncodeFormats, AreAllThatGgmlWrites) {
  int known = 0;
  for (const TensorView& view : fixture().file.tensors) {
    if (view.name.find(".there") == std::string::npos) continue;
    const std::string name = view.name.substr(0, view.name.find('.'));
    for (int i = 0; i < kBlockFormatCount; ++i) {
      const auto format = static_cast<BlockFormat>(i);
      if (name != block_info(format).name) continue;
      ++known;
      EXPECT_TRUE(can_encode(format)) << name;
    }
  }
  EXPECT_EQ(known, 44);
}

}  // namespace
}  // namespace powerhouse
