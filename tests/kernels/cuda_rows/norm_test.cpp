// CUDA's rms_norm, layer_norm and their gradients, run on the CPU: against the plain loops.
#include "kernels/cuda_rows/device_buffers.h"
#include "kernels/reference/layer_norm.h"
#include "kernels/reference/norm_gradient.h"
#include "kernels/reference/rms_norm.h"

namespace powerhouse::testing {
namespace {

using cuda_on_host::Contents;
using cuda_on_host::GlobalMemory;
using cuda_on_host::Order;

/// Rows of heads of `size` elements; `gap` elements between heads and rows, and before the first.
struct Shape {
  std::int64_t rows, heads, size, gap;

  std::int64_t head_stride() const { return size + gap; }
  std::int64_t row_stride() const { return heads * head_stride() + gap; }
  std::int64_t elements() const { return rows * row_stride(); }
  std::string text() const {
    return "rows " + std::to_string(rows) + " heads " + std::to_string(heads) + " size " + std::to_string(size) +
           " gap " + std::to_string(gap);
  }
};

// Whole vectors, ragged ones, one element, a warp's most and one more, a block's most.
constexpr Shape kShapes[] = {{0, 1, 64, 0},   {1, 1, 1, 0},    {3, 1, 3, 0},    {5, 2, 8, 8},    {2, 1, 17, 1},
                             {4, 3, 64, 0},   {9, 1, 100, 0},  {2, 2, 128, 8},  {3, 1, 512, 0},  {3, 1, 513, 0},
                             {2, 1, 520, 0},  {2, 1, 576, 0},  {1, 1, 1000, 3}, {2, 1, 2048, 0}, {1, 2, 4096, 8},
                             {1, 1, 5000, 0}, {1, 1, 4097, 0}, {1, 1, 2, 0},    {6, 1, 33, 2},   {2, 5, 16, 0},
                             {3, 2, 40, 8},   {7, 1, 96, 0},   {1, 3, 257, 0},  {2, 1, 300, 4}};

class CudaNormTest : public ::testing::Test {
 protected:
  std::mt19937 engine_{11};
};

struct RmsVariant {
  bool residual, unit_offset, round_once, weightless;
};
constexpr RmsVariant kRmsVariants[] = {{false, false, false, false},
                                       {true, false, false, false},
                                       {false, true, false, false},
                                       {false, false, true, false},
                                       {false, false, false, true}};

TEST_F(CudaNormTest, RmsNorm) {
  for (const Element type : kElements) {
    for (const Shape& shape : kShapes) {
      for (const RmsVariant& variant : kRmsVariants) {
        if (variant.residual && shape.heads > 1) continue;
        const Buffer x = Buffer::random(type, shape.elements(), engine_, 3.0f);
        const Buffer residual = Buffer::random(type, shape.elements(), engine_);
        const Buffer weight = Buffer::random(type, shape.size, engine_);
        cpu::RmsNormParams params{.type = type,
                                  .size = shape.size,
                                  .x_stride = shape.row_stride(),
                                  .residual_stride = variant.residual ? shape.row_stride() : 0,
                                  .y_stride = shape.row_stride(),
                                  .heads = shape.heads,
                                  .x_head_stride = shape.head_stride(),
                                  .y_head_stride = shape.head_stride(),
                                  .unit_offset = variant.unit_offset,
                                  .round_once = variant.round_once};
        const auto run = [&](void* to_x, const void* to_residual, const void* to_weight, void* to_y) {
          cpu::RmsNormParams all = params;
          all.x = to_x;
          all.residual = variant.residual ? to_residual : nullptr;
          all.weight = variant.weightless ? nullptr : to_weight;
          all.y = to_y;
          return all;
        };
        Buffer sum = x, expected(type, shape.elements(), -77.0f);
        reference::rms_norm(run(sum.data(), residual.data(), weight.data(), expected.data()), 0,
                            shape.rows * shape.heads);
        for (const Order order : kSchedules) {
          GlobalMemory memory;
          DeviceBuffer in(memory, x, "x", variant.residual ? Contents::in_out : Contents::input);
          DeviceBuffer more(memory, residual, "residual", Contents::input);
          DeviceBuffer factors(memory, weight, "weight", Contents::input);
          DeviceBuffer out(memory, Buffer(type, shape.elements(), -77.0f), "y", Contents::output);
          HostLauncher launcher(memory, order, 5);
          launcher.count_traffic(0);
          if (!rms_norm_on_host(run(in.data(), more.data(), factors.data(), out.data()), shape.rows * shape.heads,
                                launcher)) {
            EXPECT_TRUE(shape.size > 4096 && shape.size * element_bytes(type) % 16 != 0) << shape.text();
            break;
          }
          ASSERT_EQ(launcher.text(), "clean") << shape.text();
          EXPECT_TRUE(in.host() == sum) << "the sum with the residual, " << shape.text();
          // A last bit of the statistics may move either rounding.
          expect_close(out.host(), expected, (type == Element::f32 ? 4 : 2) * spacing(type), 1e-30,
                       ::testing::Message() << shape.text());
          if (shape.size == 2048) expect_ideal_accesses(launcher, shape.text());
          EXPECT_EQ(memory.named("x").bytes_read,
                    static_cast<std::uint64_t>(shape.rows * shape.heads * shape.size * element_bytes(type)));
        }
      }
    }
  }
}

TEST_F(CudaNormTest, RmsNormOfItself) {
  const Buffer x = Buffer::random(Element::bf16, 3 * 768, engine_);
  cpu::RmsNormParams params{.type = Element::bf16, .size = 768, .x_stride = 768, .y_stride = 768};
  Buffer expected = x;
  params.x = params.y = expected.data();
  reference::rms_norm(params, 0, 3);
  GlobalMemory memory;
  DeviceBuffer in(memory, x, "x", Contents::in_out);
  params.x = params.y = in.data();
  const HostLauncher launcher(memory, Order::random, 5);
  ASSERT_TRUE(rms_norm_on_host(params, 3, launcher));
  ASSERT_EQ(launcher.text(), "clean");
  expect_close(in.host(), expected, 2 * spacing(Element::bf16), 1e-30, ::testing::Message());
}

TEST_F(CudaNormTest, LayerNorm) {
  for (const Element type : kElements) {
    for (const Shape& shape : kShapes) {
      for (const int variant : {0, 1, 2}) {  // weight and bias; weight; neither
        const Buffer x = Buffer::random(type, shape.elements(), engine_, 3.0f);
        const Buffer weight = Buffer::random(type, shape.heads * (shape.size + shape.gap), engine_);
        const Buffer bias = Buffer::random(type, shape.heads * (shape.size + shape.gap), engine_);
        const auto params = [&](const void* to_x, const void* to_weight, const void* to_bias, void* to_y) {
          return cpu::LayerNormParams{.type = type,
                                      .x = to_x,
                                      .weight = variant < 2 ? to_weight : nullptr,
                                      .bias = variant < 1 ? to_bias : nullptr,
                                      .y = to_y,
                                      .size = shape.size,
                                      .x_stride = shape.row_stride(),
                                      .y_stride = shape.row_stride(),
                                      .heads = shape.heads,
                                      .x_head_stride = shape.head_stride(),
                                      .y_head_stride = shape.head_stride(),
                                      .weight_head_stride = shape.heads > 1 ? shape.size + shape.gap : 0};
        };
        Buffer expected(type, shape.elements(), -77.0f);
        reference::layer_norm(params(x.data(), weight.data(), bias.data(), expected.data()), 0,
                              shape.rows * shape.heads);
        for (const Order order : kSchedules) {
          GlobalMemory memory;
          DeviceBuffer in(memory, x, "x", Contents::input);
          DeviceBuffer factors(memory, weight, "weight", Contents::input);
          DeviceBuffer shifts(memory, bias, "bias", Contents::input);
          DeviceBuffer out(memory, Buffer(type, shape.elements(), -77.0f), "y", Contents::output);
          HostLauncher launcher(memory, order, 5);
          launcher.count_traffic(0);
          if (!layer_norm_on_host(params(in.data(), factors.data(), shifts.data(), out.data()),
                                  shape.rows * shape.heads, launcher)) {
            EXPECT_TRUE(shape.size > 4096 && shape.size * element_bytes(type) % 16 != 0) << shape.text();
            break;
          }
          ASSERT_EQ(launcher.text(), "clean") << shape.text();
          expect_close(out.host(), expected, (type == Element::f32 ? 8 : 1.01) * spacing(type), 2e-6,
                       ::testing::Message() << shape.text());
          if (shape.size == 2048) expect_ideal_accesses(launcher, shape.text());
        }
      }
    }
  }
}

struct GradientVariant {
  bool centered, unit_offset, round_once, weight, bias, dx;
};
constexpr GradientVariant kGradientVariants[] = {{false, false, false, true, false, true},
                                                 {false, true, false, true, false, true},
                                                 {false, false, true, true, false, false},
                                                 {true, false, false, true, true, true},
                                                 {false, false, false, false, false, true}};

Buffer sum_of_parts(const Buffer& parts, std::int64_t size) {
  Buffer sum(Element::f32, size);
  for (std::int64_t i = 0; i < parts.size(); ++i) sum.set(i % size, sum.at(i % size) + parts.at(i));
  return sum;
}

TEST_F(CudaNormTest, Gradient) {
  for (const Element type : kElements) {
    for (const Shape& shape : {Shape{0, 1, 64, 0}, Shape{1, 1, 3, 0}, Shape{7, 2, 8, 8}, Shape{11, 3, 64, 0},
                               Shape{9, 1, 100, 1}, Shape{5, 2, 128, 0}, Shape{5, 1, 520, 0}, Shape{3, 1, 577, 0},
                               Shape{4, 1, 2048, 0}, Shape{3, 2, 1024, 8}, Shape{4, 1, 33, 2}}) {
      for (const GradientVariant& variant : kGradientVariants) {
        for (const bool own_weights : {false, true}) {
          if (own_weights && (shape.heads == 1 || !variant.weight)) continue;
          constexpr std::int64_t kPartRows = 3;
          const std::int64_t parts = (shape.rows + kPartRows - 1) / kPartRows;
          const std::int64_t sums = shape.size * (own_weights ? shape.heads : 1);
          const std::int64_t weight_stride = shape.size + shape.gap;
          const Buffer x = Buffer::random(type, shape.elements(), engine_, 3.0f);
          const Buffer dy = Buffer::random(type, shape.elements(), engine_);
          const Buffer weight = Buffer::random(type, shape.heads * weight_stride, engine_);
          const auto params = [&](const void* to_x, const void* to_dy, const void* to_weight, void* to_dx,
                                  float* to_dweight, float* to_dbias) {
            return cpu::NormGradientParams{.type = type,
                                           .centered = variant.centered,
                                           .x = to_x,
                                           .dy = to_dy,
                                           .weight = variant.weight ? to_weight : nullptr,
                                           .dx = variant.dx ? to_dx : nullptr,
                                           .dweight = variant.weight ? to_dweight : nullptr,
                                           .dbias = variant.bias ? to_dbias : nullptr,
                                           .rows = shape.rows,
                                           .size = shape.size,
                                           .x_stride = shape.row_stride(),
                                           .dy_stride = shape.row_stride(),
                                           .dx_stride = shape.row_stride(),
                                           .heads = shape.heads,
                                           .x_head_stride = shape.head_stride(),
                                           .dy_head_stride = shape.head_stride(),
                                           .dx_head_stride = shape.head_stride(),
                                           .weight_head_stride = own_weights ? weight_stride : 0,
                                           .unit_offset = variant.unit_offset,
                                           .round_once = variant.round_once};
          };
          Buffer expected(type, shape.elements(), -77.0f);
          Buffer dweight(Element::f32, sums), dbias(Element::f32, sums);
          reference::norm_gradient(
              params(x.data(), dy.data(), weight.data(), expected.data(), dweight.floats(), dbias.floats()), 0,
              shape.rows == 0 ? 0 : 1);
          for (const Order order : kSchedules) {
            GlobalMemory memory;
            DeviceBuffer in(memory, x, "x", Contents::input);
            DeviceBuffer slope(memory, dy, "dy", Contents::input);
            DeviceBuffer factors(memory, weight, "weight", Contents::input);
            DeviceBuffer out(memory, Buffer(type, shape.elements(), -77.0f), "dx", Contents::output);
            DeviceBuffer weight_sums(memory, Buffer(Element::f32, parts * sums), "dweight", Contents::output);
            DeviceBuffer bias_sums(memory, Buffer(Element::f32, parts * sums), "dbias", Contents::output);
            HostLauncher launcher(memory, order, 5);
            launcher.count_traffic(0);
            ASSERT_TRUE(norm_gradient_on_host(
                params(in.data(), slope.data(), factors.data(), out.data(), weight_sums.floats(), bias_sums.floats()),
                kPartRows, launcher));
            const auto what = ::testing::Message() << shape.text();
            ASSERT_EQ(launcher.text(), "clean") << shape.text();
            expect_close(out.host(), expected, type == Element::f32 ? 1e-5 : 1.01 * spacing(type),
                         type == Element::f16 ? 1e-5 : 3e-6, what);
            // A last bit of the statistics may move a unit's rounding.
            const double tolerance = type == Element::f32 ? 1e-5 : spacing(type);
            if (variant.weight) {
              expect_close(sum_of_parts(weight_sums.host(), sums), dweight, tolerance, tolerance * 3, what);
            }
            if (variant.bias) expect_close(sum_of_parts(bias_sums.host(), sums), dbias, 1e-5, 1e-5, what);
            if (shape.size == 2048) expect_ideal_accesses(launcher, shape.text());
          }
        }
      }
    }
  }
}

TEST_F(CudaNormTest, LargestRow) {
  const Buffer x = Buffer::random(Element::f32, 16384, engine_);
  cpu::RmsNormParams params{.type = Element::f32, .size = 16384, .x_stride = 16384, .y_stride = 16384};
  Buffer expected = x;
  params.x = params.y = expected.data();
  reference::rms_norm(params, 0, 1);
  for (const std::int64_t offset : {0, 1}) {
    GlobalMemory memory;
    DeviceBuffer in(memory, x, "x", Contents::in_out, offset);
    params.x = params.y = in.data();
    const HostLauncher launcher(memory, Order::random, 5);
    ASSERT_EQ(rms_norm_on_host(params, 1, launcher), offset == 0);
    if (offset != 0) continue;
    ASSERT_EQ(launcher.text(), "clean");
    expect_close(in.host(), expected, 4 * spacing(Element::f32), 1e-30, ::testing::Message());
  }
}

}  // namespace
}  // namespace powerhouse::testing
