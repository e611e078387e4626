// CUDA's dequantization of blocks, run on the CPU: against the reference's values.
#include <algorithm>
#include <cstring>

#include "kernels/cuda_rows/device_blocks.h"
#include "kernels/cuda_rows/device_buffers.h"
#include "kernels/reference/dequantize.h"

namespace powerhouse::testing {
namespace {

using cuda_on_host::Contents;
using cuda_on_host::GlobalMemory;
using cuda_on_host::Order;

class CudaBlocksTest : public ::testing::Test {
 protected:
  std::mt19937 engine_{19};
};

/// Read on the CPU only: hardly any files have them. AFFINE have a layout of their own there (gptq_product_params.h).
constexpr BlockFormat kNotOnDevices[] = {BlockFormat::nvfp4, BlockFormat::q1_0, BlockFormat::q2_0};

TEST_F(CudaBlocksTest, KnowsWhatTheReferenceKnows) {
  for (int i = 0; i < kBlockFormatCount; ++i) {
    const auto format = static_cast<BlockFormat>(i);
    GlobalMemory memory;
    const HostLauncher launcher(memory, Order::forward, 1);
    const bool known = dequantize_on_host({.format = format}, 0, launcher);
    const bool left_out =
        is_affine(format) || std::count(std::begin(kNotOnDevices), std::end(kNotOnDevices), format) == 1;
    EXPECT_EQ(known, can_dequantize(format) && block_info(format).block_elements > 1 && !left_out)
        << block_info(format).name;
    EXPECT_EQ(known, quantized_product_on_host({.format = format}, launcher)) << block_info(format).name;
    EXPECT_EQ(known, std::count(std::begin(kFormats), std::end(kFormats), format) == 1);
    EXPECT_TRUE(launcher.reports.empty());
  }
}

TEST_F(CudaBlocksTest, DequantizesToTheBit) {
  for (const BlockFormat format : kFormats) {
    const BlockInfo info = block_info(format);
    const std::int64_t tile = 4096 / info.block_elements;
    for (const std::int64_t blocks : {std::int64_t{1}, std::int64_t{3}, tile, 2 * tile + 1}) {
      for (const bool any_scale : {false, true}) {  // infinite, subnormal and NaN too
        std::vector<std::uint8_t> bytes = plain_blocks(format, blocks, engine_);
        if (any_scale) {
          for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(engine_());
        }
        const std::int64_t elements = blocks * info.block_elements;
        std::vector<float> values(static_cast<std::size_t>(elements));
        dequantize_row(format, bytes.data(), values.data(), elements);
        for (const Element type : kElements) {
          for (const Order order : kSchedules) {
            GlobalMemory memory;
            const DeviceBlocks source(memory, bytes, false);
            DeviceBuffer out(memory, Buffer(type, elements), "out", Contents::output);
            HostLauncher launcher(memory, order, 5);
            launcher.count_traffic(blocks > tile ? 1 : 0);
            ASSERT_TRUE(
                dequantize_on_host({.format = format, .type = type, .source = source.data(), .destination = out.data()},
                                   blocks, launcher));
            ASSERT_EQ(launcher.text(), "clean") << info.name;
            const Buffer found = out.host();
            for (std::int64_t i = 0; i < elements; ++i) {
              const float expected = round_element(values[static_cast<std::size_t>(i)], type);
              const float value = found.at(i);
              if (std::isnan(expected) && std::isnan(value)) continue;
              ASSERT_EQ(float_bits(value), float_bits(expected)) << info.name << " element " << i;
            }
            if (blocks >= tile && type != Element::f32) expect_ideal_accesses(launcher, info.name);
            EXPECT_EQ(memory.named("blocks").bytes_read, bytes.size()) << info.name;
            EXPECT_EQ(memory.named("out").bytes_written, static_cast<std::uint64_t>(elements * element_bytes(type)));
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace powerhouse::testing
