// Known answers of Philox4x32-10 from Random123's kat_vectors (Salmon et al. 2011).
#include "support/philox.h"

#include <gtest/gtest.h>

namespace powerhouse {
namespace {

using Block = std::array<std::uint32_t, 4>;

TEST(Philox, GivesTheKnownAnswers) {
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const std::uint32_t f = 0xffffffff;
  EXPECT_EQ(philox({f, f, f, f}, {f, f}), (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Random, KeepsStreamsAndLanesApart) {
  const Random data(7, RandomStream::data);
  EXPECT_NE(data.block(0), Random(7, RandomStream::sampling).block(0));
  EXPECT_NE(data.block(0), Random(7, RandomStream::data, 1).block(0));
  EXPECT_NE(data.block(0), data.block(1));
  EXPECT_EQ(data.block(3), Random(7, RandomStream::data).block(3));
}

TEST(Random, IsUniform) {
  const Random random(1, RandomStream::sampling);
  double sum = 0, squares = 0;
  constexpr int kDraws = 100'000;
  for (int i = 0; i < kDraws; ++i) {
    const double u = random.uniform(static_cast<std::uint64_t>(i));
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
    squares += u * u;
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 0.005);
  EXPECT_NEAR(squares / kDraws, 1.0 / 3.0, 0.005);
}

}  // namespace
}  // namespace powerhouse
