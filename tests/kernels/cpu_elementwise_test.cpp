// rope, activation_mul and convert: against the plain loops, PyTorch and transformers.
#include "kernels/reference/activation.h"
#include "kernels/reference/rope.h"
#include "kernels/reference/vocabulary.h"

#include "kernels/cpu_kernels.h"

namespace powerhouse::testing {
namespace {

using RopeTest = CpuKernelTest;
using ActivationTest = CpuKernelTest;
using ConvertTest = CpuKernelTest;
POWERHOUSE_EVERY_INSTRUCTION_SET(RopeTest);
POWERHOUSE_EVERY_INSTRUCTION_SET(ActivationTest);
POWERHOUSE_EVERY_INSTRUCTION_SET(ConvertTest);

TEST_P(RopeTest, AgreesWithThePlainLoop) {
  for (const Element type : kElements) {
    for (const std::int64_t rotary_dim : {2, 6, 16, 30, 32, 34, 64, 128}) {
      for (const bool interleaved : {false, true}) {
        constexpr std::int64_t kTokens = 3, kHeads = 5;
        const std::int64_t head_stride = rotary_dim + 3;  // what follows rotary_dim stays as it is
        const Buffer data = Buffer::random(type, kTokens * (kHeads * head_stride + 1), engine_);
        const Buffer cos = Buffer::random(Element::f32, 7 * rotary_dim / 2, engine_);
        const Buffer sin = Buffer::random(Element::f32, 7 * rotary_dim / 2, engine_);
        const std::int64_t positions[kTokens] = {6, 0, 4};
        Buffer found = data;
        Buffer expected = data;
        cpu::RopeParams params{.type = type,
                               .data = found.data(),
                               .cos = static_cast<const float*>(cos.data()),
                               .sin = static_cast<const float*>(sin.data()),
                               .positions = rotary_dim % 4 == 0 ? positions : nullptr,
                               .heads = kHeads,
                               .rotary_dim = rotary_dim,
                               .token_stride = kHeads * head_stride + 1,
                               .head_stride = head_stride,
                               .table_stride = rotary_dim / 2,
                               .interleaved = interleaved};
        kernels().rope(params, 2, kTokens * kHeads);
        params.data = expected.data();
        reference::rope(params, 2, kTokens * kHeads);
        EXPECT_TRUE(found == expected) << "type " << static_cast<int>(type) << " rotary_dim " << rotary_dim;
      }
    }
  }
}

TEST_P(RopeTest, AgreesWithTransformers) {
  const Fixture fixture;
  const Buffer expected = fixture.get("rope_y");
  const Buffer cos = fixture.get("rope_cos");
  const Buffer sin = fixture.get("rope_sin");
  Buffer halves = fixture.get("rope_x");
  Buffer pairs = halves;
  Buffer pairs_expected = expected;
  // The interleaved layout is the same rotation with element i at 2i and i + 6 at 2i + 1.
  for (std::int64_t i = 0; i < halves.size(); ++i) {
    const std::int64_t d = i % 12;
    pairs.set(i - d + (d < 6 ? 2 * d : 2 * (d - 6) + 1), halves.at(i));
    pairs_expected.set(i - d + (d < 6 ? 2 * d : 2 * (d - 6) + 1), expected.at(i));
  }
  cpu::RopeParams params{.data = halves.data(),
                         .cos = static_cast<const float*>(cos.data()),
                         .sin = static_cast<const float*>(sin.data()),
                         .heads = 2,
                         .rotary_dim = 12,
                         .token_stride = 24,
                         .head_stride = 12,
                         .table_stride = 6};
  kernels().rope(params, 0, 6);
  expect_close(halves, expected, 1e-6, 1e-6, ::testing::Message() << "half-split");
  params.data = pairs.data();
  params.interleaved = true;
  kernels().rope(params, 0, 6);
  expect_close(pairs, pairs_expected, 1e-6, 1e-6, ::testing::Message() << "interleaved");
}

TEST_P(RopeTest, TurnsAPartOfAHead) {
  const Fixture fixture;
  const Buffer cos = fixture.get("rope_cos");
  const Buffer sin = fixture.get("rope_sin");
  for (const bool interleaved : {false, true}) {
    Buffer data = fixture.get("partial_rope_x");
    kernels().rope({.data = data.data(),
                    .cos = static_cast<const float*>(cos.data()),
                    .sin = static_cast<const float*>(sin.data()),
                    .heads = 2,
                    .rotary_dim = 12,
                    .token_stride = 40,
                    .head_stride = 20,
                    .table_stride = 6,
                    .interleaved = interleaved},
                   0, 6);
    const char* const expected = interleaved ? "partial_rope_pairs_y" : "partial_rope_halves_y";
    expect_close(data, fixture.get(expected), 1e-6, 1e-6, ::testing::Message() << expected);
  }
}

TEST_P(ActivationTest, AgreesWithThePlainLoop) {
  for (const Element type : kElements) {
    for (const cpu::ActivationKind kind : kActivationKinds) {
      for (const std::int64_t columns : kRowSizes) {
        const Buffer gate = Buffer::random(type, 3 * (columns + 2), engine_, 8.0f);
        const Buffer up = Buffer::random(type, 3 * (columns + 1), engine_);
        Buffer found(type, 3 * columns, -77.0f);
        Buffer expected = found;
        cpu::ActivationParams params{.type = type,
                                     .kind = kind,
                                     .gate = gate.data(),
                                     .up = columns % 2 == 0 ? nullptr : up.data(),
                                     .y = found.data(),
                                     .columns = columns,
                                     .gate_stride = columns + 2,
                                     .up_stride = columns + 1,
                                     .y_stride = columns};
        kernels().activation_mul(params, columns / 2, 3 * columns);
        params.y = expected.data();
        reference::activation_mul(params, columns / 2, 3 * columns);
        expect_close(found, expected, type == Element::f32 ? 3e-6 : spacing(type), 1e-7,
                     ::testing::Message() << "kind " << static_cast<int>(kind));
      }
    }
  }
}

// The whole range densely; float32's bound is what the logits' parity with PyTorch asks for.
TEST_P(ActivationTest, IsAccurateEverywhere) {
  constexpr std::int64_t kCount = 200001;
  Buffer gate(Element::f32, kCount);
  for (std::int64_t i = 0; i < kCount; ++i) gate.set(i, static_cast<float>(i - kCount / 2) * 1e-3f);
  for (const cpu::ActivationKind kind : kActivationKinds) {
    Buffer found(Element::f32, kCount);
    Buffer expected(Element::f32, kCount);
    cpu::ActivationParams params{.kind = kind, .gate = gate.data(), .y = found.data(), .columns = kCount};
    kernels().activation_mul(params, 0, kCount);
    params.y = expected.data();
    reference::activation_mul(params, 0, kCount);
    // gelu's left tail multiplies the rounding of what goes into exp; it is below 1e-6 of any sum it enters.
    const bool tail = kind == cpu::ActivationKind::gelu || kind == cpu::ActivationKind::gelu_tanh ||
                      kind == cpu::ActivationKind::quick_gelu;
    expect_close(found, expected, 1e-6, tail ? 5e-8 : 1e-35, ::testing::Message() << "kind " << static_cast<int>(kind));
  }
}

TEST_P(ActivationTest, AgreesWithPyTorch) {
  const Fixture fixture;
  const Buffer gate = fixture.get("activation_gate");
  const Buffer up = fixture.get("activation_up");
  const std::string names[] = {"silu", "gelu_tanh", "gelu", "relu", "quick_gelu", "relu2", "sigmoid", "tanh"};
  for (int kind = 0; kind < 8; ++kind) {
    Buffer y(Element::f32, gate.size());
    kernels().activation_mul({.kind = static_cast<cpu::ActivationKind>(kind),
                              .gate = gate.data(),
                              .up = up.data(),
                              .y = y.data(),
                              .columns = gate.size()},
                             0, gate.size());
    expect_close(y, fixture.get(names[kind]), 1e-6, 1e-7, ::testing::Message() << names[kind]);
  }
}

TEST_P(ActivationTest, LimitsAndNan) {
  const float values[] = {INFINITY, NAN, 0.0f, -200.0f, 3e38f};
  const Buffer x = [&] {
    Buffer buffer(Element::f32, 5);
    for (int i = 0; i < 5; ++i) buffer.set(i, values[i]);
    return buffer;
  }();
  for (const cpu::ActivationKind kind : kActivationKinds) {
    Buffer y(Element::f32, 5);
    kernels().activation_mul({.kind = kind, .gate = x.data(), .y = y.data(), .columns = 5}, 0, 5);
    const bool sigmoid = kind == cpu::ActivationKind::sigmoid;
    const bool bounded = sigmoid || kind == cpu::ActivationKind::tanh;
    EXPECT_EQ(y.at(0), bounded ? 1.0f : INFINITY);
    EXPECT_TRUE(std::isnan(y.at(1)));
    EXPECT_EQ(y.at(2), sigmoid ? 0.5f : 0.0f);
    EXPECT_EQ(y.at(3), bounded && !sigmoid ? -1.0f : 0.0f);
    EXPECT_EQ(y.at(4), bounded ? 1.0f : kind == cpu::ActivationKind::relu2 ? INFINITY : 3e38f);
  }
}

TEST_P(ConvertTest, EveryBitPatternOfSixteenBits) {
  for (const Element type : {Element::bf16, Element::f16}) {
    std::vector<std::uint16_t> source(65536);
    for (int i = 0; i < 65536; ++i) source[i] = static_cast<std::uint16_t>(i);
    Buffer wide(Element::f32, 65536);
    kernels().convert({.source_type = type, .source = source.data(), .destination = wide.data()}, 0, 65536);
    for (int i = 0; i < 65536; ++i) {
      const float expected = read_element(source.data(), type, i);
      ASSERT_TRUE(std::isnan(expected) ? std::isnan(wide.at(i)) : float_bits(wide.at(i)) == float_bits(expected)) << i;
    }
    std::vector<std::uint16_t> back(65536);
    kernels().convert({.destination_type = type, .source = wide.data(), .destination = back.data()}, 0, 65536);
    for (int i = 0; i < 65536; ++i) {
      if (!std::isnan(wide.at(i))) {
        ASSERT_EQ(back[i], i);
      } else {
        ASSERT_TRUE(std::isnan(read_element(back.data(), type, i))) << i;
      }
    }
  }
}

TEST_P(ConvertTest, RoundsAsThePlainLoop) {
  constexpr std::int64_t kCount = 400003;
  Buffer source(Element::f32, kCount);
  for (std::int64_t i = 0; i < kCount; ++i) source.set(i, bits_float(static_cast<std::uint32_t>(engine_())));
  for (const Element from : kElements) {
    Buffer typed(from, kCount);
    reference::convert({.destination_type = from, .source = source.data(), .destination = typed.data()}, 0, kCount);
    for (const Element to : kElements) {
      Buffer found(to, kCount);
      Buffer expected(to, kCount);
      cpu::ConvertParams params{
          .source_type = from, .destination_type = to, .source = typed.data(), .destination = found.data()};
      kernels().convert(params, 3, kCount);
      params.destination = expected.data();
      reference::convert(params, 3, kCount);
      expect_close(found, expected, 0, 0, ::testing::Message() << "convert");
    }
  }
}

}  // namespace
}  // namespace powerhouse::testing
