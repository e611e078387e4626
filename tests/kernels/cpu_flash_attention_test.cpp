// flash_forward and flash_backward against the plain loops: shapes, rules, documents, and what must not reach what.
#include "kernels/reference/flash_attention.h"

#include <algorithm>
#include <ostream>

#include "kernels/cpu_kernels.h"

namespace powerhouse::testing {
namespace {

using FlashAttentionTest = CpuKernelTest;
POWERHOUSE_EVERY_INSTRUCTION_SET(FlashAttentionTest);

struct Case {
  Element type = Element::f32;
  std::int64_t kv_heads = 2, group = 3, head_dim = 20;
  std::vector<std::int64_t> lengths{75, 1, 17};
  std::int64_t window = 0;
  float softcap = 0;
  bool alibi = false, alibi_in_bf16 = false, sinks = false;

  friend std::ostream& operator<<(std::ostream& out, const Case& one) {
    out << "type " << static_cast<int>(one.type) << " heads " << one.kv_heads << " x " << one.group << " head_dim "
        << one.head_dim << " window " << one.window << " softcap " << one.softcap << (one.alibi ? " alibi" : "")
        << (one.alibi_in_bf16 ? " in bf16" : "") << (one.sinks ? " sinks" : "") << " lengths";
    for (const std::int64_t length : one.lengths) out << ' ' << length;
    return out;
  }
};

/// Inputs with gaps between rows and heads, and the gradients of them.
struct Packed {
  Packed(const Case& one, std::mt19937& engine) : what(one) {
    for (const std::int64_t length : one.lengths) {
      parts.push_back({.first = rows, .end = length});
      rows += length;
    }
    heads = one.kv_heads * one.group;
    const std::int64_t size = one.head_dim;
    q = Buffer::random(one.type, rows * (heads * (size + 1) + 3), engine, 2.0f);
    k = Buffer::random(one.type, rows * (one.kv_heads * (size + 2) + 1), engine);
    v = Buffer::random(one.type, rows * (one.kv_heads * (size + 3) + 2), engine);
    dout = Buffer::random(one.type, rows * (heads * (size + 2) + 5), engine);
    for (std::int64_t head = 0; head < heads; ++head) {
      slopes.push_back(std::exp2(-0.7f * static_cast<float>(head)));
      sinks.push_back(head % 3 == 0 ? 5.0f : 0.5f * static_cast<float>(head % 5) - 2.0f);
    }
  }

  /// Everything that the kernels write.
  struct Results {
    Buffer out, lse, delta, dq, dk, dv;
  };
  Results results() const {
    const std::int64_t kv = rows * what.kv_heads * what.head_dim;
    return {Buffer(what.type, rows * (heads * (what.head_dim + 4) + 1), -9.0f),
            Buffer(Element::f32, heads * rows),
            Buffer(Element::f32, heads * rows),
            Buffer(what.type, rows * heads * what.head_dim),
            Buffer(what.type, kv),
            Buffer(what.type, kv)};
  }

  cpu::FlashBackwardParams params(Results& to) const {
    cpu::FlashBackwardParams params;
    const std::int64_t size = what.head_dim;
    params.type = what.type;
    params.num_kv_heads = what.kv_heads;
    params.group = what.group;
    params.head_dim = size;
    params.scale = 2.5f / std::sqrt(static_cast<float>(size));
    params.softcap = what.softcap;
    params.window = what.window;
    if (what.alibi) params.alibi_slopes = slopes.data();
    params.alibi_in_bf16 = what.alibi_in_bf16;
    if (what.sinks) params.sinks = sinks.data();
    params.q = q.data(), params.k = k.data(), params.v = v.data(), params.dout = dout.data();
    params.q_head_stride = size + 1, params.q_row_stride = heads * (size + 1) + 3;
    params.k_head_stride = size + 2, params.k_row_stride = what.kv_heads * (size + 2) + 1;
    params.v_head_stride = size + 3, params.v_row_stride = what.kv_heads * (size + 3) + 2;
    params.dout_head_stride = size + 2, params.dout_row_stride = heads * (size + 2) + 5;
    params.out_head_stride = size + 4, params.out_row_stride = heads * (size + 4) + 1;
    params.lse_head_stride = rows;
    params.parts = parts.data();
    params.out = to.out.data(), params.lse = to.lse.floats(), params.delta = to.delta.floats();
    params.dq = to.dq.data(), params.dk = to.dk.data(), params.dv = to.dv.data();
    return params;
  }

  std::int64_t items() const { return static_cast<std::int64_t>(parts.size()) * what.kv_heads; }

  Results run(const cpu::CpuKernels& kernels) const {
    Results found = results();
    const cpu::FlashBackwardParams all = params(found);
    const std::int64_t longest = *std::max_element(what.lengths.begin(), what.lengths.end());
    std::vector<float> scratch(cpu::flash_forward_floats(what.group, what.head_dim, longest), NAN);
    kernels.flash_forward(all, 0, items(), scratch.data());
    scratch.assign(cpu::flash_backward_floats(what.group, what.head_dim, longest), NAN);
    for (std::int64_t item = items(); item-- > 0;) kernels.flash_backward(all, item, item + 1, scratch.data());
    return found;
  }

  Results expected() const {
    Results plain = results();
    reference::flash_forward(params(plain), 0, items());
    reference::flash_backward(params(plain), rows);
    return plain;
  }

  Case what;
  std::int64_t rows = 0, heads = 0;
  std::vector<cpu::FlashPart> parts;
  Buffer q{Element::f32, 0}, k{Element::f32, 0}, v{Element::f32, 0}, dout{Element::f32, 0};
  std::vector<float> slopes, sinks;
};

/// The error's norm relative to that of what was expected; where that is nothing but the error of a difference (a row
/// that sees itself alone has no gradient of scores), relative to ones.
double distance(const Buffer& found, const Buffer& expected) {
  double error = 0, size = 0;
  for (std::int64_t i = 0; i < found.size(); ++i) {
    const auto a = static_cast<double>(found.at(i));
    const auto b = static_cast<double>(expected.at(i));
    error += (a - b) * (a - b);
    size += b * b;
  }
  const auto count = static_cast<double>(found.size());
  return std::sqrt(error / (size > 1e-6 * count ? size : count));
}

void check(const cpu::CpuKernels& kernels, const Case& one, std::mt19937& engine) {
  const Packed packed(one, engine);
  const Packed::Results found = packed.run(kernels);
  const Packed::Results expected = packed.expected();
  // Operands of pairs are exact, while weights and scores' gradients are rounded to bf16; D is made of a rounded
  // output, which shows in short documents.
  const double bar = one.type == Element::f32 ? 2e-6 : one.type == Element::bf16 ? 8e-3 : 6e-4;
  const auto what = [&](const char* name) { return ::testing::Message() << name << " of " << one; };
  // What becomes bf16 is powers wrong by up to 8e-5 of themselves.
  expect_close(found.lse, expected.lse, 2e-6, one.type == Element::bf16 ? 1.5e-4 : 2e-5, what("lse"));
  EXPECT_LT(distance(found.out, expected.out), bar) << what("out");
  EXPECT_LT(distance(found.dq, expected.dq), bar) << what("dq");
  EXPECT_LT(distance(found.dk, expected.dk), bar) << what("dk");
  EXPECT_LT(distance(found.dv, expected.dv), bar) << what("dv");
  EXPECT_LT(distance(found.delta, expected.delta), bar) << what("delta");
  expect_close(found.out, expected.out, 4 * spacing(one.type), std::max(4 * spacing(one.type), 5e-6), what("out"));
}

std::vector<Case> rules() {
  return {{.softcap = 1.5f},
          {.alibi = true},
          {.alibi = true, .alibi_in_bf16 = true},
          {.sinks = true},
          {.softcap = 1.5f, .alibi = true, .sinks = true}};
}

TEST_P(FlashAttentionTest, AgreesWithThePlainLoops) {
  std::vector<Case> cases;
  for (const Element type : kElements) {
    for (const std::int64_t head_dim : {1, 3, 8, 16, 20, 33, 40, 64, 80, 96, 128}) {
      cases.push_back({.type = type, .head_dim = head_dim});
    }
    for (const std::int64_t group : {1, 2, 5, 8, 71, 130}) {
      cases.push_back({.type = type, .kv_heads = 1, .group = group, .lengths = {67}});
    }
    for (const std::int64_t length : {1, 2, 17, 64, 65, 128, 130, 200}) {
      cases.push_back({.type = type, .lengths = {length}});
      cases.push_back({.type = type, .group = 1, .lengths = {length, 3}});
    }
    for (const std::int64_t window : {1, 2, 5, 42, 64, 65, 139, 1000}) {
      cases.push_back({.type = type, .lengths = {200, 30}, .window = window});
      cases.push_back({.type = type, .group = 1, .head_dim = 64, .lengths = {300}, .window = window});
    }
    for (Case one : rules()) {
      one.type = type;
      cases.push_back(one);
      one.lengths = {140, 9};
      one.window = 37;
      cases.push_back(one);
    }
    cases.push_back({.type = type, .kv_heads = 1, .head_dim = 64, .lengths = {512, 17, 1}});
  }
  for (const Case& one : cases) {
    check(kernels(), one, engine_);
    if (HasFailure()) return;
  }
}

TEST_P(FlashAttentionTest, AgreesOnRandomShapes) {
  std::uniform_int_distribution<std::int64_t> small(1, 4), size(1, 72), length(1, 150), window(0, 90), rule(0, 5);
  for (int i = 0; i < 25; ++i) {
    const std::int64_t number = rule(engine_);
    Case one = number < 5 ? rules()[static_cast<std::size_t>(number)] : Case{};
    one.type = kElements[i % 3];
    one.kv_heads = small(engine_), one.group = small(engine_), one.head_dim = size(engine_);
    one.lengths = {length(engine_), length(engine_)};
    one.window = window(engine_);
    check(kernels(), one, engine_);
    if (HasFailure()) return;
  }
}

TEST_P(FlashAttentionTest, DocumentsDoNotReachEachOther) {
  for (const Element type : kElements) {
    Packed packed({.type = type, .lengths = {50, 70, 20}}, engine_);
    const Packed::Results before = packed.run(kernels());
    // Everything of the second document becomes NaN.
    const Packed::Results none = packed.results();
    const cpu::FlashBackwardParams params = packed.params(const_cast<Packed::Results&>(none));
    const auto spoil = [](Buffer& buffer, std::int64_t row_stride) {
      for (std::int64_t i = 50 * row_stride; i < 120 * row_stride; ++i) buffer.set(i, NAN);
    };
    spoil(packed.q, params.q_row_stride);
    spoil(packed.k, params.k_row_stride);
    spoil(packed.v, params.v_row_stride);
    spoil(packed.dout, params.dout_row_stride);
    const Packed::Results after = packed.run(kernels());
    const auto same = [](const Buffer& a, const Buffer& b, std::int64_t row) {
      for (std::int64_t i = 0; i < a.size(); ++i) {
        if (i / row < 50 || i / row >= 120) {
          ASSERT_EQ(a.at(i), b.at(i)) << i;
        }
      }
    };
    same(after.out, before.out, params.out_row_stride);
    same(after.dq, before.dq, 6 * 20);
    same(after.dk, before.dk, 2 * 20);
    same(after.dv, before.dv, 2 * 20);
    EXPECT_TRUE(std::isnan(after.dk.at(60 * 40)));
  }
}

TEST_P(FlashAttentionTest, PartsOfADocumentAddUp) {
  for (const Element type : kElements) {
    for (const std::int64_t window : {0, 50}) {
      Packed packed({.type = type, .lengths = {200}, .window = window, .sinks = true}, engine_);
      const Packed::Results whole = packed.run(kernels());
      Packed::Results cut = packed.results();
      const std::int64_t middle = 2 * cpu::flash_rows(3);
      const std::int64_t padded = cpu::flash_padded(20);
      std::vector<float> sums[2];
      const std::int64_t keys[2] = {cpu::flash_keys(middle), cpu::flash_keys(200)};
      packed.parts = {{.begin = 0, .end = middle}, {.begin = middle, .end = 200}};
      for (int i = 0; i < 2; ++i) {
        sums[i].assign(static_cast<std::size_t>(2 * 2 * keys[i] * padded), NAN);
        packed.parts[i].sums = sums[i].data();
      }
      const cpu::FlashBackwardParams params = packed.params(cut);
      std::vector<float> scratch(cpu::flash_backward_floats(3, 20, 200), NAN);
      kernels().flash_forward(params, 0, 4, scratch.data());
      EXPECT_TRUE(cut.out == whole.out);
      EXPECT_TRUE(cut.lse == whole.lse);
      kernels().flash_backward(params, 0, 4, scratch.data());
      EXPECT_TRUE(cut.dq == whole.dq);
      for (std::int64_t head = 0; head < 2; ++head) {
        for (std::int64_t row = 0; row < 200; ++row) {
          for (std::int64_t d = 0; d < 20; ++d) {
            const auto sum = [&](std::int64_t which) {
              float total = sums[1][(head * 2 + which) * keys[1] * padded + row * padded + d];
              if (row < middle) total += sums[0][(head * 2 + which) * keys[0] * padded + row * padded + d];
              return total;
            };
            const std::int64_t at = (row * 2 + head) * 20 + d;
            ASSERT_NEAR(sum(0), whole.dk.at(at), 2e-6 + spacing(type) * std::abs(whole.dk.at(at))) << at;
            ASSERT_NEAR(sum(1), whole.dv.at(at), 2e-6 + spacing(type) * std::abs(whole.dv.at(at))) << at;
          }
        }
      }
    }
  }
}

TEST_P(FlashAttentionTest, ContinuationsSeeTheirPrefix) {
  for (const Element type : kElements) {
    for (Case one : {Case{}, Case{.window = 60}, Case{.softcap = 1.5f, .alibi = true, .sinks = true}}) {
      one.type = type;
      one.lengths = {75, 9, 80};
      Packed packed(one, engine_);
      for (std::size_t i : {1, 2}) {
        cpu::FlashPart& part = packed.parts[i];
        part = {.first = part.first - 75, .begin = 75, .end = 75 + part.end, .prefix = 75, .prefix_first = 0};
      }
      const Packed::Results expected = packed.expected();
      std::vector<float> sums[3];
      const std::int64_t padded = cpu::flash_padded(20);
      for (std::size_t i = 0; i < 3; ++i) {
        sums[i].assign(static_cast<std::size_t>(2 * 2 * cpu::flash_keys(packed.parts[i].end) * padded), NAN);
        packed.parts[i].sums = sums[i].data();
      }
      Packed::Results found = packed.results();
      const cpu::FlashBackwardParams params = packed.params(found);
      std::vector<float> scratch(cpu::flash_forward_floats(3, 20, 155), NAN);
      kernels().flash_forward(params, 0, packed.items(), scratch.data());
      scratch.assign(cpu::flash_backward_floats(3, 20, 155), NAN);
      kernels().flash_backward(params, 0, packed.items(), scratch.data());
      Buffer dk(Element::f32, expected.dk.size()), dv(Element::f32, expected.dv.size());
      for (std::size_t i = 0; i < 3; ++i) {
        const cpu::FlashPart& part = packed.parts[i];
        for (std::int64_t head = 0; head < 2; ++head) {
          for (std::int64_t key = 0; key < part.end; ++key) {
            for (std::int64_t d = 0; d < 20; ++d) {
              const std::int64_t to = (cpu::flash_key_row(part, key) * 2 + head) * 20 + d;
              const std::int64_t from = (head * 2 * cpu::flash_keys(part.end) + key) * padded + d;
              dk.floats()[to] += sums[i][static_cast<std::size_t>(from)];
              dv.floats()[to] += sums[i][static_cast<std::size_t>(from + cpu::flash_keys(part.end) * padded)];
            }
          }
        }
      }
      const double bar = type == Element::f32 ? 2e-6 : type == Element::bf16 ? 8e-3 : 6e-4;
      EXPECT_LT(distance(found.out, expected.out), bar) << one;
      EXPECT_LT(distance(found.dq, expected.dq), bar) << one;
      EXPECT_LT(distance(dk, expected.dk), bar) << one;
      EXPECT_LT(distance(dv, expected.dv), bar) << one;
    }
  }
}

}  // namespace
}  // namespace powerhouse::testing
