// bitsandbytes' quantization against the package (tests/oracles/four_bit.py): the same bytes.
#include "kernels/reference/four_bit.h"

#include <gtest/gtest.h>

#include <cstring>

#include "formats/safetensors.h"
#include "kernels/reference/dequantize.h"

namespace powerhouse {
namespace {

class FourBitTest : public ::testing::Test {
 protected:
  const TensorView& view(const std::string& name) const {
    for (const TensorView& each : file_.tensors) {
      if (each.name == name) return each;
    }
    throw std::runtime_error("no tensor " + name);
  }
  template <typename T>
  std::vector<T> read(const std::string& name) const {
    const TensorView& found = view(name);
    std::vector<T> values(found.bytes / sizeof(T));
    std::memcpy(values.data(), found.data, found.bytes);
    return values;
  }
  template <typename T>
  void expect_same(const std::vector<T>& found, const std::string& name) const {
    const std::vector<T> expected = read<T>(name);
    ASSERT_EQ(found.size(), expected.size()) << name;
    for (std::size_t i = 0; i < found.size(); ++i) {
      ASSERT_EQ(std::memcmp(&found[i], &expected[i], sizeof(T)), 0)
          << name << ", element " << i << ": expected " << +expected[i] << ", found " << +found[i];
    }
  }

 private:
  SafetensorsFile file_ = read_safetensors(std::string(POWERHOUSE_FIXTURES) + "/kernels/four_bit.safetensors");
};

struct Case {
  const char* name;
  std::int64_t block_size;
};
constexpr Case kCases[] = {{"normal", 64}, {"wide", 128}, {"zeros", 64}, {"tail", 32}, {"ties", 64}};

TEST_F(FourBitTest, QuantizesToTheSameBytes) {
  for (const Case& one : kCases) {
    const auto values = read<float>(std::string(one.name) + ".values");
    const auto count = static_cast<std::int64_t>(values.size());
    for (const FourBit kind : {FourBit::nf4, FourBit::fp4}) {
      const std::string prefix = std::string(one.name) + (kind == FourBit::nf4 ? ".nf4" : ".fp4");
      std::vector<std::uint8_t> codes((values.size() + 1) / 2);
      std::vector<float> absmax(static_cast<std::size_t>((count + one.block_size - 1) / one.block_size));
      quantize_four_bit(kind, values.data(), count, one.block_size, codes.data(), absmax.data());
      expect_same(codes, prefix + ".codes");
      expect_same(absmax, prefix + ".absmax");
      std::vector<float> back(values.size());
      for (std::size_t i = 0; i < back.size(); ++i) {
        const int code = i % 2 == 0 ? codes[i / 2] >> 4 : codes[i / 2] & 15;
        back[i] = four_bit_levels(kind)[code] * absmax[i / static_cast<std::size_t>(one.block_size)];
      }
      expect_same(back, prefix + ".dequantized");
      // Scales of scales: the mean is torch's, the rest is ours.
      const float offset = read<float>(prefix + ".offset").front();
      for (float& scale : absmax) scale -= offset;
      std::vector<std::uint8_t> nested(absmax.size());
      std::vector<float> nested_absmax((absmax.size() + 255) / 256);
      quantize_dynamic(absmax.data(), static_cast<std::int64_t>(absmax.size()), 256, nested.data(),
                       nested_absmax.data());
      expect_same(nested, prefix + ".nested_codes");
      expect_same(nested_absmax, prefix + ".nested_absmax");
    }
  }
}

TEST_F(FourBitTest, HasTheDynamicType) {
  std::vector<float> map(256);
  dynamic_map(map.data(), true);
  expect_same(map, "dynamic_map");
  const auto values = read<float>("states.values");
  std::vector<std::uint8_t> codes(values.size());
  std::vector<float> absmax(values.size() / 256);
  quantize_dynamic(values.data(), static_cast<std::int64_t>(values.size()), 256, codes.data(), absmax.data());
  expect_same(codes, "states.codes");
  expect_same(absmax, "states.absmax");
}

TEST_F(FourBitTest, ReadsBlocks) {
  const auto codes = read<std::uint8_t>("normal.nf4.codes");
  const auto absmax = read<float>("normal.nf4.absmax");
  std::vector<std::uint8_t> blocks(absmax.size() * 36);
  for (std::size_t i = 0; i < absmax.size(); ++i) {
    std::memcpy(blocks.data() + 36 * i, &absmax[i], 4);
    std::memcpy(blocks.data() + 36 * i + 4, codes.data() + 32 * i, 32);
  }
  std::vector<float> values(absmax.size() * 64);
  dequantize_row(BlockFormat::nf4, blocks.data(), values.data(), static_cast<std::int64_t>(values.size()));
  expect_same(values, "normal.nf4.dequantized");
  const auto rows = read<std::int8_t>("int8.codes");
  const auto stats = read<float>("int8.stats");
  std::vector<std::uint8_t> wide(4 * 68);
  for (std::size_t i = 0; i < 4; ++i) {
    std::memcpy(wide.data() + 68 * i, &stats[i], 4);
    std::memcpy(wide.data() + 68 * i + 4, rows.data() + 64 * i, 64);
  }
  values.resize(256);
  dequantize_row(BlockFormat::int8_rows, wide.data(), values.data(), 256);
  expect_same(values, "int8.values");
}

}  // namespace
}  // namespace powerhouse
