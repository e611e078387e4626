// rms_norm and layer_norm: against the plain loops, PyTorch and transformers.
#include "kernels/reference/layer_norm.h"
#include "kernels/reference/rms_norm.h"

#include "kernels/cpu_kernels.h"

namespace powerhouse::testing {
namespace {

using RmsNormTest = CpuKernelTest;
using LayerNormTest = CpuKernelTest;
POWERHOUSE_EVERY_INSTRUCTION_SET(RmsNormTest);
POWERHOUSE_EVERY_INSTRUCTION_SET(LayerNormTest);

const std::pair<Element, std::string> kTypesByName[] = {
    {Element::f32, "f32"}, {Element::bf16, "bf16"}, {Element::f16, "f16"}};

constexpr std::int64_t kRows = 3, kHeads = 2;

/// Strides of kRows rows of kHeads heads, all different.
struct HeadStrides {
  explicit HeadStrides(std::int64_t size)
      : x_head(size + 2), y_head(size + 1), x(kHeads * x_head + 3), y(kHeads * y_head + 5) {}
  std::int64_t x_head, y_head, x, y;
};

TEST_P(RmsNormTest, AgreesWithThePlainLoop) {
  struct Variant {
    bool residual, unit_offset, round_once, weightless;
  };
  constexpr Variant kVariants[] = {{false, false, false, false}, {true, false, false, false},
                                   {false, true, false, false},  {true, true, false, false},
                                   {false, false, true, false},  {false, false, false, true},
                                   {true, true, true, true}};
  for (const Element type : kElements) {
    for (const std::int64_t size : kRowSizes) {
      for (const Variant& variant : kVariants) {
        const Buffer x = Buffer::random(type, 4 * (size + 2), engine_, 3.0f);
        const Buffer residual = Buffer::random(type, 4 * size, engine_);
        const Buffer weight = Buffer::random(type, size, engine_);
        Buffer results[2][2] = {{x, {type, 4 * (size + 1), -77.0f}}, {x, {type, 4 * (size + 1), -77.0f}}};
        for (int i = 0; i < 2; ++i) {
          const cpu::RmsNormParams params{.type = type,
                                          .x = results[i][0].data(),
                                          .residual = variant.residual ? residual.data() : nullptr,
                                          .weight = variant.weightless ? nullptr : weight.data(),
                                          .y = results[i][1].data(),
                                          .size = size,
                                          .x_stride = size + 2,
                                          .residual_stride = size,
                                          .y_stride = size + 1,
                                          .epsilon = 1e-5f,
                                          .unit_offset = variant.unit_offset,
                                          .round_once = variant.round_once};
          i == 0 ? kernels().rms_norm(params, 1, 4) : reference::rms_norm(params, 1, 4);
        }
        EXPECT_TRUE(results[0][0] == results[1][0]) << "the sum with the residual";
        // A last bit of the statistics may move either rounding.
        expect_close(results[0][1], results[1][1], (type == Element::f32 ? 4 : 2) * spacing(type), 1e-30,
                     ::testing::Message() << "rms_norm");
      }
    }
  }
}

TEST_P(RmsNormTest, HeadsOfARow) {
  for (const Element type : kElements) {
    for (const std::int64_t size : {1, 8, 20, 64, 80, 128}) {
      for (const bool shared : {true, false}) {
        const HeadStrides stride(size);
        Buffer x = Buffer::random(type, kRows * stride.x, engine_, 3.0f);
        const Buffer weight = Buffer::random(type, kHeads * (size + 1), engine_);
        Buffer found(type, kRows * stride.y, -77.0f);
        Buffer expected = found;
        cpu::RmsNormParams params{.type = type,
                                  .x = x.data(),
                                  .weight = weight.data(),
                                  .y = found.data(),
                                  .size = size,
                                  .x_stride = stride.x,
                                  .y_stride = stride.y,
                                  .heads = kHeads,
                                  .x_head_stride = stride.x_head,
                                  .y_head_stride = stride.y_head,
                                  .weight_head_stride = shared ? 0 : size + 1};
        kernels().rms_norm(params, 1, kRows * kHeads);
        params.y = expected.data();
        reference::rms_norm(params, 1, kRows * kHeads);
        expect_close(found, expected, (type == Element::f32 ? 4 : 2) * spacing(type), 1e-30,
                     ::testing::Message() << "size " << size);
      }
    }
  }
}

TEST_P(RmsNormTest, AgreesWithTransformers) {
  const Fixture fixture;
  for (const auto& [type, suffix] : kTypesByName) {
    for (const char* family : {"llama", "gemma", "olmo2"}) {
      const std::string name = std::string(family) + "_norm_" + suffix;
      Buffer x = fixture.get(name + "_x", type);
      const Buffer weight = fixture.get(name + "_weight", type);
      Buffer y(type, x.size());
      kernels().rms_norm({.type = type,
                          .x = x.data(),
                          .weight = weight.data(),
                          .y = y.data(),
                          .size = 37,
                          .x_stride = 37,
                          .y_stride = 37,
                          .epsilon = *family == 'l' ? 1e-5f : 1e-6f,
                          .unit_offset = *family == 'g',
                          .round_once = *family == 'o'},
                         0, 2);
      // Equal bits in 16 bits: the same roundings in the same places.
      expect_close(y, fixture.get(name + "_y", type), type == Element::f32 ? 1e-6 : 0, 1e-12,
                   ::testing::Message() << name);
    }
  }
}

TEST_P(RmsNormTest, NanStaysInItsRow) {
  Buffer x(Element::f32, 40, 2.0f);
  x.set(19, NAN);
  const Buffer weight(Element::f32, 20, 1.0f);
  kernels().rms_norm(
      {.x = x.data(), .weight = weight.data(), .y = x.data(), .size = 20, .x_stride = 20, .y_stride = 20}, 0, 2);
  for (int i = 0; i < 40; ++i) EXPECT_EQ(std::isnan(x.at(i)), i < 20);
}

/// What float32 statistics leave: a distance from the mean is known to a few units in the last place of the mean.
double layer_norm_tolerance(Element type, float center) {
  return type == Element::f32 ? 4e-7 * (1 + std::abs(static_cast<double>(center))) : 0.01 * spacing(type);
}

TEST_P(LayerNormTest, AgreesWithThePlainLoop) {
  for (const Element type : kElements) {
    for (const std::int64_t size : {1, 2, 3, 8, 15, 16, 17, 47, 64, 100, 576, 4099}) {
      for (const int variant : {0, 1, 2, 3, 4, 5, 6, 7}) {  // weight, bias, weights by head
        const HeadStrides stride(size);
        const float center = variant % 2 == 0 ? 0.0f : 5.0f;
        Buffer x = Buffer::random(type, kRows * stride.x, engine_, 3.0f);
        for (std::int64_t i = 0; i < x.size(); ++i) x.set(i, x.at(i) + center);
        const Buffer weight = Buffer::random(type, kHeads * (size + 1), engine_);
        const Buffer bias = Buffer::random(type, kHeads * (size + 1), engine_);
        Buffer found(type, kRows * stride.y, -77.0f);
        Buffer expected = found;
        cpu::LayerNormParams params{.type = type,
                                    .x = x.data(),
                                    .weight = variant & 1 ? weight.data() : nullptr,
                                    .bias = variant & 2 ? bias.data() : nullptr,
                                    .y = found.data(),
                                    .size = size,
                                    .x_stride = stride.x,
                                    .y_stride = stride.y,
                                    .heads = kHeads,
                                    .x_head_stride = stride.x_head,
                                    .y_head_stride = stride.y_head,
                                    .weight_head_stride = variant & 4 ? size + 1 : 0,
                                    .epsilon = 1e-5f};
        kernels().layer_norm(params, 1, kRows * kHeads);
        params.y = expected.data();
        reference::layer_norm(params, 1, kRows * kHeads);
        // A last bit of the statistics may move the rounding.
        expect_close(found, expected, type == Element::f32 ? 1e-6 : spacing(type), layer_norm_tolerance(type, center),
                     ::testing::Message() << "size " << size << " variant " << variant);
      }
    }
  }
}

TEST_P(LayerNormTest, AgreesWithPyTorch) {
  const Fixture fixture;
  for (const auto& [type, suffix] : kTypesByName) {
    const std::string name = "layer_norm_" + suffix;
    const Buffer x = fixture.get(name + "_x", type);
    const Buffer weight = fixture.get(name + "_weight", type);
    const Buffer bias = fixture.get(name + "_bias", type);
    for (const char* variant : {"_y", "_weighted_y", "_plain_y"}) {
      Buffer y = x;  // in place
      kernels().layer_norm({.type = type,
                            .x = y.data(),
                            .weight = variant[1] == 'p' ? nullptr : weight.data(),
                            .bias = variant[1] == 'y' ? bias.data() : nullptr,
                            .y = y.data(),
                            .size = 37,
                            .x_stride = 37,
                            .y_stride = 37},
                           0, 3);
      // Equal bits in 16 bits, but for elements next to the mean: float32's last bits of the mean move them.
      expect_close(y, fixture.get(name + variant, type), type == Element::f32 ? 1e-6 : 0,
                   type == Element::f32 ? 1e-6 : 1e-5, ::testing::Message() << name << variant);
    }
  }
}

TEST_P(LayerNormTest, AgreesWithTransformersByHead) {
  const Fixture fixture;
  const Buffer x = fixture.get("head_norm_x");
  const Buffer weight = fixture.get("head_norm_weight");
  Buffer y(Element::f32, x.size());
  kernels().layer_norm({.x = x.data(),
                        .weight = weight.data(),
                        .y = y.data(),
                        .size = 20,
                        .x_stride = 60,
                        .y_stride = 60,
                        .heads = 3,
                        .x_head_stride = 20,
                        .y_head_stride = 20,
                        .weight_head_stride = 20},
                       0, 6);
  expect_close(y, fixture.get("head_norm_y"), 1e-6, 1e-6, ::testing::Message() << "head_norm");
}

TEST_P(LayerNormTest, LimitsAndNan) {
  Buffer x(Element::f32, 60, 1e4f);
  x.set(19, NAN);
  Buffer y(Element::f32, 60);
  for (int i = 40; i < 60; ++i) x.set(i, i % 2 == 0 ? 1e4f : 1e4f + 0x1p-7f);  // one part in a million
  kernels().layer_norm({.x = x.data(), .y = y.data(), .size = 20, .x_stride = 20, .y_stride = 20, .epsilon = 1e-12f}, 0,
                       3);
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(std::isnan(y.at(i)));
  for (int i = 20; i < 40; ++i) EXPECT_EQ(y.at(i), 0.0f);  // no variance: epsilon keeps it finite
  for (int i = 40; i < 60; ++i) EXPECT_NEAR(y.at(i), i % 2 == 0 ? -1.0f : 1.0f, 0.3f);
}

}  // namespace
}  // namespace powerhouse::testing
