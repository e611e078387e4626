// Costs of requests whose banks and sectors are counted by hand.
#include "cuda_on_host/traffic.h"

#include <gtest/gtest.h>

namespace powerhouse::cuda_on_host {
namespace {

/// Lane i asks for `size` bytes at i * stride.
Request strided(unsigned size, std::uintptr_t stride, unsigned mask = ~0u) {
  Request request;
  request.mask = mask;
  request.size = size;
  for (unsigned lane = 0; lane < 32; ++lane) request.address[lane] = 0x10000 + lane * stride;
  return request;
}

void expect_cost(const Cost& cost, std::int64_t paid, std::int64_t ideal) {
  EXPECT_EQ(cost.paid, paid);
  EXPECT_EQ(cost.ideal, ideal);
}

TEST(Traffic, BanksOfWords) {
  expect_cost(bank_cycles(strided(4, 4)), 1, 1);
  expect_cost(bank_cycles(strided(4, 8)), 2, 1);
  expect_cost(bank_cycles(strided(4, 128)), 32, 1);
  expect_cost(bank_cycles(strided(4, 132)), 1, 1);
  expect_cost(bank_cycles(strided(4, 0)), 1, 1);  // all get the same word
  expect_cost(bank_cycles(strided(2, 2)), 1, 1);  // two lanes a word
  expect_cost(bank_cycles(strided(4, 128, 0x3)), 2, 1);
}

TEST(Traffic, BanksOfVectorsGoInPhases) {
  expect_cost(bank_cycles(strided(8, 8)), 2, 2);
  expect_cost(bank_cycles(strided(16, 16)), 4, 4);
  expect_cost(bank_cycles(strided(16, 128)), 32, 4);  // rows of 64 elements without a swizzle: 8 times
  expect_cost(bank_cycles(strided(16, 144)), 4, 4);   // padded rows
  expect_cost(bank_cycles(strided(16, 64)), 16, 4);
  expect_cost(bank_cycles(strided(16, 128, 0xFF)), 8, 1);
}

TEST(Traffic, Sectors) {
  expect_cost(sectors(strided(4, 4)), 4, 4);
  expect_cost(sectors(strided(16, 16)), 16, 16);
  expect_cost(sectors(strided(4, 32)), 32, 4);
  expect_cost(sectors(strided(4, 0)), 1, 1);
  expect_cost(sectors(strided(16, 64)), 32, 16);
  Request shifted = strided(4, 4);
  for (std::uintptr_t& address : shifted.address) address += 4;
  expect_cost(sectors(shifted), 5, 4);
}

TEST(Traffic, ExecutionsOfALaneAreRequests) {
  Traffic traffic;
  const int first = 0, second = 0;
  traffic.start(true);
  for (unsigned lane = 0; lane < 32; ++lane) {
    for (unsigned turn = 0; turn < 3; ++turn)
      traffic.note(&first, "ld.shared", true, lane * 4 + turn * 128, 4, 0, lane);
    if (lane < 8) traffic.note(&second, "st.global", false, lane * 64, 4, 1, lane);
  }
  const auto rows = traffic.take();
  ASSERT_EQ(rows.size(), 2u);
  for (const InstructionTraffic& row : rows) {
    EXPECT_EQ(row.requests, row.shared ? 3 : 1);
    EXPECT_EQ(row.lanes, row.shared ? 96 : 8);
    expect_cost(row.cost, row.shared ? 3 : 8, row.shared ? 3 : 1);
  }
  EXPECT_FALSE(traffic.noting());
}

}  // namespace
}  // namespace powerhouse::cuda_on_host
