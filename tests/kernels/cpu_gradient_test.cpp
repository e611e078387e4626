// Gradients of norms, activations and rotary positions, and dropout: against the plain loops.
#include "kernels/cpu_kernels.h"
#include "kernels/reference/activation_gradient.h"
#include "kernels/reference/dropout.h"
#include "kernels/reference/norm_gradient.h"
#include "kernels/reference/rope.h"

namespace powerhouse::testing {
namespace {

using NormGradientTest = CpuKernelTest;
using ActivationGradientTest = CpuKernelTest;
using RopeGradientTest = CpuKernelTest;
using DropoutTest = CpuKernelTest;
POWERHOUSE_EVERY_INSTRUCTION_SET(NormGradientTest);
POWERHOUSE_EVERY_INSTRUCTION_SET(ActivationGradientTest);
POWERHOUSE_EVERY_INSTRUCTION_SET(RopeGradientTest);
POWERHOUSE_EVERY_INSTRUCTION_SET(DropoutTest);

// One rounding to the type, or float32's own on the way; absolute where terms cancel.
double relative_of(Element type) { return type == Element::f32 ? 1e-5 : 1.01 * spacing(type); }

struct NormCase {
  std::int64_t size, heads;
  bool centered, unit_offset, round_once, weight, own_weight_a_head, sums, dx;
};

class NormBuffers {
 public:
  NormBuffers(const NormCase& choice, Element type, std::mt19937& engine)
      : type_(type), choice_(choice), parts_((kRows + cpu::kNormRows - 1) / cpu::kNormRows) {
    const std::int64_t room = kRows * (choice.heads * (choice.size + 2) + 3);
    x = Buffer::random(type, room, engine, 3.0f);
    dy = Buffer::random(type, room, engine);
    weight = Buffer::random(type, choice.heads * (choice.size + 1), engine);
    dx = Buffer(type, room, -77.0f);
    dweight = Buffer(Element::f32, parts_ * choice.size * (choice.own_weight_a_head ? choice.heads : 1), -77.0f);
    dbias = dweight;
  }

  cpu::NormGradientParams params() {
    const std::int64_t head = choice_.size + 2;
    const std::int64_t row = choice_.heads * head + 3;
    return {.type = type_,
            .centered = choice_.centered,
            .x = x.data(),
            .dy = dy.data(),
            .weight = choice_.weight ? weight.data() : nullptr,
            .dx = choice_.dx ? dx.data() : nullptr,
            .dweight = choice_.sums ? dweight.floats() : nullptr,
            .dbias = choice_.sums ? dbias.floats() : nullptr,
            .rows = kRows,
            .size = choice_.size,
            .x_stride = row,
            .dy_stride = row - 1,
            .dx_stride = row - 2,
            .heads = choice_.heads,
            .x_head_stride = head,
            .dy_head_stride = head - 1,
            .dx_head_stride = head - 2,
            .weight_head_stride = choice_.own_weight_a_head ? choice_.size + 1 : 0,
            .epsilon = 1e-5f,
            .unit_offset = choice_.unit_offset,
            .round_once = choice_.round_once};
  }
  std::int64_t parts() const { return parts_; }

  Buffer x{Element::f32, 0}, dy = x, weight = x, dx = x, dweight = x, dbias = x;

 private:
  static constexpr std::int64_t kRows = 70;  // more than one part
  Element type_;
  NormCase choice_;
  std::int64_t parts_;
};

TEST_P(NormGradientTest, AgreesWithThePlainLoop) {
  constexpr NormCase kCases[] = {
      {.size = 0, .heads = 1, .weight = true, .sums = true, .dx = true},
      {.size = 0, .heads = 1, .dx = true},
      {.size = 0, .heads = 1, .unit_offset = true, .weight = true, .sums = true, .dx = true},
      {.size = 0, .heads = 1, .round_once = true, .weight = true, .sums = true},
      {.size = 0, .heads = 1, .centered = true, .weight = true, .sums = true, .dx = true},
      {.size = 0, .heads = 3, .weight = true, .sums = true, .dx = true},
      {.size = 0, .heads = 3, .centered = true, .weight = true, .own_weight_a_head = true, .sums = true, .dx = true},
  };
  for (const Element type : kElements) {
    for (const std::int64_t size : {1, 3, 8, 15, 16, 17, 64, 100, 576}) {
      for (NormCase choice : kCases) {
        choice.size = size;
        NormBuffers found(choice, type, engine_);
        NormBuffers expected = found;
        kernels().norm_gradient(found.params(), 0, found.parts());
        reference::norm_gradient(expected.params(), 0, expected.parts());
        const auto what = ::testing::Message() << "size " << size << " heads " << choice.heads;
        // One element of a row normalises to a sign: its gradient is what cancellation leaves.
        const double absolute = size == 1 ? 2e-2 : type == Element::f16 ? 1e-5 : 3e-6;
        expect_close(found.dx, expected.dx, relative_of(type), absolute,
                     ::testing::Message() << what.GetString() << " dx");
        // A last bit of the statistics may move a unit's rounding.
        expect_close(found.dweight, expected.dweight, 1e-5, type == Element::f32 ? 1e-4 : 8 * spacing(type),
                     ::testing::Message() << what.GetString() << " dweight");
        expect_close(found.dbias, expected.dbias, 1e-5, 1e-5, ::testing::Message() << what.GetString() << " dbias");
      }
    }
  }
}

TEST_P(NormGradientTest, InPlaceOfDyAndPartByPart) {
  const NormCase choice{.size = 100, .heads = 2, .centered = true, .weight = true, .sums = true, .dx = true};
  NormBuffers together(choice, Element::bf16, engine_);
  NormBuffers apart = together;
  kernels().norm_gradient(together.params(), 0, together.parts());
  cpu::NormGradientParams params = apart.params();
  params.dx = apart.dy.data();
  params.dx_stride = params.dy_stride;
  params.dx_head_stride = params.dy_head_stride;
  for (std::int64_t part = apart.parts() - 1; part >= 0; --part) kernels().norm_gradient(params, part, part + 1);
  EXPECT_TRUE(together.dweight == apart.dweight);
  EXPECT_TRUE(together.dbias == apart.dbias);
  const cpu::NormGradientParams first = together.params();
  for (std::int64_t row = 0; row < first.rows; ++row) {
    for (std::int64_t i = 0; i < 200; ++i) {
      const std::int64_t head = i / 100;
      ASSERT_EQ(together.dx.at(row * first.dx_stride + head * first.dx_head_stride + i % 100),
                apart.dy.at(row * params.dx_stride + head * params.dx_head_stride + i % 100));
    }
  }
}

TEST_P(ActivationGradientTest, AgreesWithThePlainLoop) {
  for (const Element type : kElements) {
    for (const cpu::ActivationKind kind : kActivationKinds) {
      for (const std::int64_t columns : {1, 7, 16, 33, 100}) {
        for (const bool gated : {true, false}) {
          const Buffer gate = Buffer::random(type, 3 * (columns + 2), engine_, 8.0f);
          const Buffer up = Buffer::random(type, 3 * (columns + 1), engine_);
          const Buffer dy = Buffer::random(type, 3 * (columns + 4), engine_);
          Buffer results[2][2] = {{{type, 3 * (columns + 3), -77.0f}, {type, 3 * columns, -77.0f}},
                                  {{type, 3 * (columns + 3), -77.0f}, {type, 3 * columns, -77.0f}}};
          for (int i = 0; i < 2; ++i) {
            const cpu::ActivationGradientParams params{.type = type,
                                                       .kind = kind,
                                                       .gate = gate.data(),
                                                       .up = gated ? up.data() : nullptr,
                                                       .dy = dy.data(),
                                                       .dgate = results[i][0].data(),
                                                       .dup = gated ? results[i][1].data() : nullptr,
                                                       .columns = columns,
                                                       .gate_stride = columns + 2,
                                                       .up_stride = columns + 1,
                                                       .dy_stride = columns + 4,
                                                       .dgate_stride = columns + 3,
                                                       .dup_stride = columns};
            i == 0 ? kernels().activation_gradient(params, columns / 2, 3 * columns)
                   : reference::activation_gradient(params, columns / 2, 3 * columns);
          }
          const auto what = ::testing::Message() << "kind " << static_cast<int>(kind) << " columns " << columns;
          for (int i = 0; i < 2; ++i) {
            expect_close(results[0][i], results[1][i], relative_of(type), type == Element::f16 ? 1e-6 : 1e-6, what);
          }
        }
      }
    }
  }
}

TEST_P(ActivationGradientTest, InPlaceOfDy) {
  const Buffer gate = Buffer::random(Element::bf16, 100, engine_, 4.0f);
  const Buffer dy = Buffer::random(Element::bf16, 100, engine_);
  Buffer apart(Element::bf16, 100);
  Buffer together = dy;
  cpu::ActivationGradientParams params{
      .type = Element::bf16, .gate = gate.data(), .dy = dy.data(), .dgate = apart.data(), .columns = 100};
  kernels().activation_gradient(params, 0, 100);
  params.dy = params.dgate = together.data();
  kernels().activation_gradient(params, 0, 100);
  EXPECT_TRUE(together == apart);
}

TEST_P(RopeGradientTest, OutOfPlaceAndBack) {
  constexpr std::int64_t kTokens = 3, kHeads = 2;
  for (const Element type : kElements) {
    for (const std::int64_t rotary_dim : {4, 16, 38, 64}) {
      for (const bool interleaved : {false, true}) {
        const std::int64_t head = rotary_dim + 5;
        const Buffer source = Buffer::random(type, kTokens * (kHeads * (head + 1) + 2), engine_);
        const Buffer cos = Buffer::random(Element::f32, kTokens * rotary_dim / 2, engine_);
        const Buffer sin = Buffer::random(Element::f32, kTokens * rotary_dim / 2, engine_);
        Buffer found(type, kTokens * kHeads * head, -77.0f);
        Buffer expected = found;
        cpu::RopeParams params{.type = type,
                               .data = found.data(),
                               .cos = const_cast<Buffer&>(cos).floats(),
                               .sin = const_cast<Buffer&>(sin).floats(),
                               .heads = kHeads,
                               .rotary_dim = rotary_dim,
                               .token_stride = kHeads * head,
                               .head_stride = head,
                               .table_stride = rotary_dim / 2,
                               .interleaved = interleaved,
                               .inverse = true,
                               .source = source.data(),
                               .source_token_stride = kHeads * (head + 1) + 2,
                               .source_head_stride = head + 1,
                               .head_dim = head};
        kernels().rope(params, 0, kTokens * kHeads);
        params.data = expected.data();
        reference::rope(params, 0, kTokens * kHeads);
        expect_close(found, expected, type == Element::f32 ? 1e-6 : spacing(type), 1e-6,
                     ::testing::Message() << "rotary_dim " << rotary_dim);
      }
    }
  }
}

TEST_P(DropoutTest, EqualsThePlainLoop) {
  for (const Element type : kElements) {
    for (const std::int64_t columns : {1, 7, 8, 9, 128, 129, 576, 1001}) {
      const Buffer x = Buffer::random(type, 3 * (columns + 2), engine_);
      Buffer found(type, 3 * (columns + 1), -77.0f);
      Buffer expected = found;
      cpu::DropoutParams params{.type = type,
                                .x = x.data(),
                                .y = found.data(),
                                .columns = columns,
                                .x_stride = columns + 2,
                                .y_stride = columns + 1,
                                .threshold = 20000,
                                .kept = 1.4f,
                                .key = {0x12345678u, 0x9ABCDEF0u},
                                .counter = 0xFFFFFFFFull - 2,  // into the upper word
                                .lane = 3,
                                .stream = 2};
      kernels().dropout(params, 1, 3);
      params.y = expected.data();
      reference::dropout(params, 1, 3);
      EXPECT_TRUE(found == expected) << columns;
    }
  }
}

}  // namespace
}  // namespace powerhouse::testing
