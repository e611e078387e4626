// CUDA's dequantization and products with weights of blocks, run on the CPU: against the reference's values.
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

struct ProductShape {
  std::int64_t rows, blocks, outputs;  // blocks in a row of the weight
  bool bias;
};

TEST_F(CudaBlocksTest, Products) {
  for (const BlockFormat format : kFormats) {
    const BlockInfo info = block_info(format);
    const std::int64_t chunk = 1024 / info.block_elements;
    const ProductShape shapes[] = {{1, 1, 1, false},         {1, chunk, 5, true},
                                   {2, chunk + 1, 3, false}, {5, 3 * chunk - 1, 2, true},
                                   {8, 2 * chunk, 4, true},  {11, chunk / 2 + 1, 35, true}};
    for (const ProductShape& shape : shapes) {
      for (const Element type : kElements) {
        if (type == Element::f32 && shape.rows > cuda::kMostPlainRows) continue;
        const std::int64_t inputs = shape.blocks * info.block_elements;
        const std::int64_t x_stride = inputs + 16, y_stride = shape.outputs + 3;
        const std::vector<std::uint8_t> bytes = plain_blocks(format, shape.blocks * shape.outputs, engine_);
        std::vector<float> weight(static_cast<std::size_t>(inputs * shape.outputs));
        dequantize_row(format, bytes.data(), weight.data(), inputs * shape.outputs);
        const Buffer x = Buffer::random(type, shape.rows * x_stride, engine_);
        const Buffer bias = Buffer::random(type, shape.outputs, engine_);
        Buffer expected(type, shape.rows * y_stride, -77.0f);
        double largest = 0;
        for (std::int64_t row = 0; row < shape.rows; ++row) {
          for (std::int64_t output = 0; output < shape.outputs; ++output) {
            double sum = shape.bias ? static_cast<double>(bias.at(output)) : 0, sizes = 0;
            for (std::int64_t i = 0; i < inputs; ++i) {
              const double term = static_cast<double>(weight[static_cast<std::size_t>(output * inputs + i)]) *
                                  static_cast<double>(x.at(row * x_stride + i));
              sum += term;
              sizes += std::abs(term);
            }
            largest = std::max(largest, sizes);
            expected.set(row * y_stride + output, static_cast<float>(sum));
          }
        }
        for (const Order order : kSchedules) {
          GlobalMemory memory;
          const DeviceBlocks source(memory, bytes, true, 32);
          DeviceBuffer in(memory, x, "x", Contents::input);
          DeviceBuffer shift(memory, bias, "bias", Contents::input);
          DeviceBuffer out(memory, Buffer(type, shape.rows * y_stride, -77.0f), "y", Contents::output);
          HostLauncher launcher(memory, order, 5);
          launcher.count_traffic(0);
          ASSERT_TRUE(quantized_product_on_host({.format = format,
                                                 .type = type,
                                                 .weight = source.data(),
                                                 .x = in.data(),
                                                 .bias = shape.bias ? shift.data() : nullptr,
                                                 .y = out.data(),
                                                 .rows = shape.rows,
                                                 .inputs = inputs,
                                                 .outputs = shape.outputs,
                                                 .x_stride = x_stride,
                                                 .y_stride = y_stride},
                                                launcher));
          ASSERT_EQ(launcher.text(), "clean") << info.name;
          expect_close(out.host(), expected, type == Element::f32 ? 1e-6 : 1.01 * spacing(type), 1e-6 * largest + 1e-12,
                       ::testing::Message() << info.name << " rows " << shape.rows << " inputs " << inputs);
          const double read = static_cast<double>(memory.named("blocks").bytes_read);
          const double all = static_cast<double>(bytes.size());
          // What is read of sectors in which chunks end, of 1,024 inputs in float32 and of 256 on tensor cores.
          const bool plain = type == Element::f32;
          const std::int64_t ends = shape.outputs * (inputs / (plain ? 1024 : 256) + 1);
          EXPECT_LE(read, static_cast<double>(cuda::divide_up(shape.rows, cuda::kMostPlainRows)) *
                              (all + (plain ? 48.0 : 62.0) * static_cast<double>(ends)))
              << info.name;
          // With more chunks lanes differ in how often they copy, and the count takes them for one request. The last
          // four pieces of a row's chunk of bytes are copied with the next row's, and some meet them in a bank.
          const bool in_bytes = format == BlockFormat::q8_0 || format == BlockFormat::int8_rows;
          if (type != Element::f32 && shape.blocks <= chunk)
            expect_ideal_accesses(launcher, info.name, in_bytes ? 1.5 : 1);
        }
      }
    }
  }
}

}  // namespace
}  // namespace powerhouse::testing
