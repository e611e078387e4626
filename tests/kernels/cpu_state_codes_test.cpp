// States of codes on every instruction set: against the plain loop, and found by segments against found by tables.
#include <cstring>

#include "kernels/cpu_kernels.h"
#include "kernels/reference/optimizer.h"
#include "training/state_codes.h"

namespace powerhouse::testing {
namespace {

using StateCodesTest = CpuKernelTest;
POWERHOUSE_EVERY_INSTRUCTION_SET(StateCodesTest);

struct CodedState {
  std::vector<std::uint8_t> codes;
  std::vector<float> absmax;
  explicit CodedState(std::int64_t size)
      : codes(static_cast<std::size_t>(size)), absmax(static_cast<std::size_t>((size + 255) / 256)) {}
  cpu::UpdateState of(const cpu::StateCodes& map) {
    return {.data = codes.data(), .codes = &map, .absmax = absmax.data()};
  }
};

cpu::StateCodes by_tables(cpu::StateCodes map) {
  map.segments = nullptr;
  return map;
}

void compare(const CodedState& found, const CodedState& expected, std::int64_t size) {
  int apart = 0;
  for (std::size_t i = 0; i < found.codes.size(); ++i) {
    const int distance = std::abs(found.codes[i] - expected.codes[i]);
    ASSERT_LE(distance, 1) << size << ", element " << i;  // a bound that the last bit of float32 decides
    apart += distance;
  }
  EXPECT_LE(apart, 1 + size / 1000);
  for (std::size_t i = 0; i < found.absmax.size(); ++i) {
    EXPECT_NEAR(found.absmax[i], expected.absmax[i], 1e-6f * expected.absmax[i]) << size << ", block " << i;
  }
}

TEST_P(StateCodesTest, AgreeWithThePlainLoop) {
  for (const Element type : kElements) {
    for (const std::int64_t size : {1, 100, 255, 256, 257, 512, 1000, 4096}) {
      const Buffer gradient = Buffer::random(type, size, engine_), start = Buffer::random(type, size, engine_);
      Buffer found = start, expected = start;
      CodedState a(size), b(size);
      std::uniform_int_distribution<int> code(0, 255);
      for (auto& c : a.codes) c = static_cast<std::uint8_t>(code(engine_));
      for (auto& c : b.codes) c = static_cast<std::uint8_t>(code(engine_));
      for (float& scale : a.absmax) scale = 0.5f;
      for (float& scale : b.absmax) scale = 0.25f;
      CodedState plain_a = a, plain_b = b;
      const auto params = [&](Buffer& weights, CodedState& first, CodedState& second) {
        cpu::UpdateParams p{.rule = cpu::UpdateRule::adamw, .type = type, .gradient = gradient.data()};
        p.parameter = weights.data();
        p.a = first.of(signed_state_codes());
        p.b = second.of(unsigned_state_codes());
        p.decay = 0.98f, p.lr = 0.05f, p.beta1 = 0.9f, p.one_minus_beta1 = 0.1f;
        p.beta2 = 0.95f, p.one_minus_beta2 = 0.05f, p.correction = 0.8f, p.eps = 1e-3f;
        return p;
      };
      const std::int64_t middle = size / 512 * 256;
      const cpu::UpdateParams p = params(found, a, b);
      kernels().optimizer_update(p, 0, middle);
      kernels().optimizer_update(p, middle, size);
      reference::optimizer_update(params(expected, plain_a, plain_b), 0, size);
      const double unit = type == Element::f32 ? 1e-6 : spacing(type);
      expect_close(found, expected, unit, 2e-7, ::testing::Message() << "parameter of " << size);
      compare(a, plain_a, size);
      compare(b, plain_b, size);
    }
  }
}

/// The codes that `map` gives to numbers of which the largest magnitude is 1: SGD's first momentum is the gradient.
CodedState codes_of(const cpu::CpuKernels& kernels, const cpu::StateCodes& map, const std::vector<float>& numbers) {
  const auto size = static_cast<std::int64_t>(numbers.size());
  CodedState state(size);
  std::vector<float> weights(numbers.size());
  cpu::UpdateParams p{.rule = cpu::UpdateRule::sgd, .gradient = numbers.data()};
  p.parameter = weights.data();
  p.a = state.of(map);
  p.first = true;
  kernels.optimizer_update(p, 0, size);
  return state;
}

// Bounds and their neighbours, zeros and NaN, and all over the range.
TEST_P(StateCodesTest, AreTheSameBySegmentsAndByTables) {
  for (const bool with_sign : {true, false}) {
    const cpu::StateCodes& map = with_sign ? signed_state_codes() : unsigned_state_codes();
    std::vector<float> numbers;
    const auto take = [&](float x) {
      if (numbers.size() % 256 == 255) numbers.push_back(1);  // so that no block is scaled
      if (std::abs(x) <= 1 && (with_sign || !(x < 0))) numbers.push_back(x);
    };
    for (int i = 0; i < 255; ++i) {
      float x = map.bounds[i];
      for (int k = 0; k < 40; ++k) x = std::nextafter(x, -2.0f);
      for (int k = 0; k < 80; ++k, x = std::nextafter(x, 2.0f)) take(x);
    }
    for (std::uint32_t bits = 0x30000000u; bits <= 0x3F800000u; bits += 509) {
      take(bits_float(bits));
      take(-bits_float(bits));
    }
    for (int i = 0; i < 64; ++i) take(i % 2 == 0 ? 0.0f : -0.0f), take(1e-42f);
    while (numbers.size() % 256 != 255) take(0.5f);
    numbers.push_back(1);
    EXPECT_EQ(codes_of(kernels(), map, numbers).codes, codes_of(kernels(), by_tables(map), numbers).codes);
    numbers.assign(256, std::nanf(""));
    EXPECT_EQ(codes_of(kernels(), map, numbers).codes, codes_of(kernels(), by_tables(map), numbers).codes);
  }
}

}  // namespace
}  // namespace powerhouse::testing
