// Block formats against the gguf package (tests/oracles/formats.py): the same bits.
#include "kernels/reference/dequantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "formats/safetensors.h"

namespace powerhouse {
namespace {

const TensorView* find(const SafetensorsFile& file, const std::string& name) {
  for (const TensorView& view : file.tensors) {
    if (view.name == name) return &view;
  }
  return nullptr;
}

void compare_all(const char* name_of_file, int expected_formats) {
  const SafetensorsFile file = read_safetensors(std::string(POWERHOUSE_FIXTURES) + "/formats/" + name_of_file);
  int compared = 0;
  for (int i = 0; i < kBlockFormatCount; ++i) {
    const auto format = static_cast<BlockFormat>(i);
    const std::string name = block_info(format).name;
    const TensorView* blocks = find(file, name + ".blocks");
    if (blocks == nullptr) continue;
    const TensorView* values = find(file, name + ".values");
    ASSERT_NE(values, nullptr);
    ASSERT_TRUE(can_dequantize(format)) << name;
    const std::int64_t elements = values->elements();
    ASSERT_EQ(
        static_cast<std::int64_t>(blocks->bytes) / block_info(format).block_bytes * block_info(format).block_elements,
        elements);
    std::vector<float> out(static_cast<std::size_t>(elements));
    dequantize_row(format, blocks->data, out.data(), elements);
    for (std::int64_t k = 0; k < elements; ++k) {
      float expected = 0;
      std::memcpy(&expected, values->data + k * 4, 4);
      const float found = out[static_cast<std::size_t>(k)];
      if (std::isnan(expected) && std::isnan(found)) continue;
      ASSERT_EQ(std::memcmp(&expected, &found, 4), 0)
          << name << ", element " << k << ": expected " << expected << ", found " << found;
    }
    ++compared;
  }
  EXPECT_EQ(compared, expected_formats);
}

TEST(Dequantize, GivesTheBitsOfTheGgufPackage) {
  compare_all("blocks.safetensors", 13);
  compare_all("grid_blocks.safetensors", 10);
}

TEST(Dequantize, ReadsEightBitFloats) {
  // OCP FP8: e4m3 from -448 to 448 with NaN at all ones; e5m2 is the upper half of an f16.
  const unsigned char e4m3[] = {0x00, 0x01, 0x08, 0x38, 0x7E, 0xFE, 0x7F, 0x80};
  float out[8];
  dequantize_row(BlockFormat::f8_e4m3, e4m3, out, 8);
  EXPECT_EQ(out[0], 0.0f);
  EXPECT_EQ(out[1], 0x1p-9f);
  EXPECT_EQ(out[2], 0x1p-6f);
  EXPECT_EQ(out[3], 1.0f);
  EXPECT_EQ(out[4], 448.0f);
  EXPECT_EQ(out[5], -448.0f);
  EXPECT_TRUE(std::isnan(out[6]));
  EXPECT_TRUE(std::signbit(out[7]));
  const unsigned char e5m2[] = {0x3C, 0xC0, 0x7B, 0x7C};
  dequantize_row(BlockFormat::f8_e5m2, e5m2, out, 4);
  EXPECT_EQ(out[0], 1.0f);
  EXPECT_EQ(out[1], -2.0f);
  EXPECT_EQ(out[2], 57344.0f);
  EXPECT_TRUE(std::isinf(out[3]));
}

}  // namespace
}  // namespace powerhouse
