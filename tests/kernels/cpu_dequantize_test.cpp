// Every instruction set's dequantization against the plain loops: the same bits in float32, their rounding elsewhere.
#include <gtest/gtest.h>

#include "cpu_kernels.h"
#include "kernels/reference/dequantize.h"
#include "random_blocks.h"

namespace powerhouse::testing {
namespace {

class DequantizeTest : public CpuKernelTest {};
POWERHOUSE_EVERY_INSTRUCTION_SET(DequantizeTest);

bool same(const Buffer& a, const Buffer& b, std::int64_t i) {
  if (std::isnan(b.at(i))) return std::isnan(a.at(i));
  return float_bits(a.at(i)) == float_bits(b.at(i));
}

TEST_P(DequantizeTest, HasTheBitsOfThePlainLoop) {
  constexpr std::int64_t kElements = 256 * 37;
  for (int number = 0; number < kBlockFormatCount; ++number) {
    const auto format = static_cast<BlockFormat>(number);
    if (!can_dequantize(format)) continue;
    const BlockInfo info = block_info(format);
    const std::int64_t blocks = kElements / info.block_elements;
    for (const bool plain_scales : {true, false}) {
      std::vector<std::uint8_t> bytes = random_blocks(format, kElements, engine_);
      if (!plain_scales) {  // NaN, infinities and subnormals among the scales
        for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(engine_());
      }
      Buffer wide(Element::f32, kElements);
      dequantize_row(format, bytes.data(), wide.floats(), kElements);
      for (const Element type : {Element::f32, Element::bf16, Element::f16}) {
        Buffer found(type, kElements);
        Buffer expected(type, kElements);
        // In two parts that end where no vector does, the blocks before the first untouched.
        const cpu::DequantizeParams params{
            .format = format, .type = type, .source = bytes.data(), .destination = found.data()};
        kernels().dequantize(params, 1, 8);
        kernels().dequantize(params, 8, blocks);
        for (std::int64_t i = 0; i < info.block_elements; ++i) ASSERT_EQ(found.at(i), 0.0f) << info.name;
        for (std::int64_t i = info.block_elements; i < kElements; ++i) {
          expected.set(i, wide.at(i));
          ASSERT_TRUE(same(found, expected, i))
              << info.name << ", element " << i << ": expected " << expected.at(i) << ", found " << found.at(i);
        }
      }
    }
  }
}

}  // namespace
}  // namespace powerhouse::testing
