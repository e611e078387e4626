// Operations on registers that hold two elements or four bytes, against arithmetic on each.
#include "cuda_on_host/expect_launch.h"

namespace powerhouse::cuda_on_host {
namespace {

template <typename Element>
std::uint32_t pair_of(float first, float second) {
  return rounded<Element>(first).bits | static_cast<std::uint32_t>(rounded<Element>(second).bits) << 16;
}

template <typename Element>
void expect_products() {
  const auto at = [](float a, float b, float c, float first) {
    return cuda::multiply_add_pair(pair_of<Element>(first, a), pair_of<Element>(1, b), pair_of<Element>(2, c),
                                   Element{});
  };
  EXPECT_EQ(at(3, 4, -5, 7), pair_of<Element>(9, 7));
  EXPECT_EQ(at(136, 1, -136, 0.5f), pair_of<Element>(2.5f, 0));
  // One rounding: the square of 1 + e is 1 + 2 e + e^2, and the last term is all that is left.
  const float e =
      sizeof(Element) == 2 && rounded<Element>(1 + 0x1p-9f).bits != rounded<Element>(1).bits ? 0x1p-9f : 0x1p-6f;
  EXPECT_EQ(at(1 + e, 1 + e, -(1 + 2 * e), 0), pair_of<Element>(2, e * e));
}

TEST(PairTest, MultipliesAndAdds) {
  expect_products<bfloat16>();
  expect_products<float16>();
}

TEST(PairTest, ChoosesBytes) {
  EXPECT_EQ(cuda::choose_bytes(0x33221100u, 0x77665544u, 0x7160u), 0x77116600u);
  EXPECT_EQ(cuda::choose_bytes(0x33221100u, 0x77665544u, 0x3210u), 0x33221100u);
  EXPECT_EQ(cuda::choose_bytes(0x33221100u, 0x77665544u, 0x4444u), 0x44444444u);
}

TEST(PairTest, MasksAndAddsBits) { EXPECT_EQ(cuda::masked_or(0xABCD1234u, 0x000F000Fu, 0x43004300u), 0x430D4304u); }

}  // namespace
}  // namespace powerhouse::cuda_on_host
