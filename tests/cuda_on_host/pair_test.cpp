// Operations on registers that hold two elements or four bytes, against arithmetic on each.
#include "cuda_on_host/expect_launch.h"

namespace powerhouse::cuda_on_host {
namespace {

template <typename Element>
std::uint32_t pair_of(float first, float second) {
  return rounded<Element>(first).bits | static_cast<std::uint32_t>(rounded<Element>(second).bits) << 16;
}

/// `small`: 1 + small and 1 + 2 small are numbers of the type.
template <typename Element>
void expect_products(float small) {
  const auto of = [](float a, float b, float c) {
    return cuda::multiply_add_pair(pair_of<Element>(7, a), pair_of<Element>(1, b), pair_of<Element>(2, c), Element{});
  };
  EXPECT_EQ(of(3, 4, -5), pair_of<Element>(9, 7));
  EXPECT_EQ(of(136, 1, -136), pair_of<Element>(9, 0));
  EXPECT_EQ(of(1 + small, 1 + small, -(1 + 2 * small)), pair_of<Element>(9, small * small)) << "rounded twice";
}

TEST(PairTest, MultipliesAndAdds) {
  expect_products<bfloat16>(0x1p-6f);
  expect_products<float16>(0x1p-9f);
}

TEST(PairTest, ChoosesBytes) {
  EXPECT_EQ(cuda::choose_bytes(0x33221100u, 0x77665544u, 0x7160u), 0x77116600u);
  EXPECT_EQ(cuda::choose_bytes(0x33221100u, 0x77665544u, 0x3210u), 0x33221100u);
  EXPECT_EQ(cuda::choose_bytes(0x33221100u, 0x77665544u, 0x4444u), 0x44444444u);
}

TEST(PairTest, MasksAndAddsBits) { EXPECT_EQ(cuda::masked_or(0xABCD1234u, 0x000F000Fu, 0x43004300u), 0x430D4304u); }

}  // namespace
}  // namespace powerhouse::cuda_on_host
