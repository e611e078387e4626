// The pool of large tensors: what waits is taken again, and what it holds stays within what once lived.

#include <gtest/gtest.h>

#include "ops/tensors.h"
#include "powerhouse/pooled_tensors.h"

namespace powerhouse {
namespace {

constexpr std::int64_t kMiB = 1 << 20;

at::Tensor bytes(std::int64_t count) { return empty_tensor({count}, at::kByte); }

std::size_t held() { return PooledTensors::usage().live + PooledTensors::usage().waiting; }

class Pooled : public ::testing::Test {
 protected:
  void SetUp() override {
    const PooledTensors pool;
    const at::Tensor x = bytes(kMiB);
    if (PooledTensors::usage().live == 0) GTEST_SKIP() << "under a sanitizer";
  }
};

TEST_F(Pooled, ABlockIsTakenAgain) {
  const PooledTensors pool;
  const void* first = nullptr;
  const at::Tensor before = bytes(kMiB);
  {
    const at::Tensor x = bytes(3 * kMiB);
    first = x.const_data_ptr();
    const at::Tensor behind = bytes(kMiB);
  }
  EXPECT_EQ(PooledTensors::usage().live, static_cast<std::size_t>(kMiB));
  EXPECT_EQ(PooledTensors::usage().waiting, static_cast<std::size_t>(4 * kMiB));
  const at::Tensor again = bytes(3 * kMiB);
  EXPECT_EQ(again.const_data_ptr(), first);
  const at::Tensor small = bytes(1000);  // none of the pool's
  EXPECT_EQ(PooledTensors::usage().live, static_cast<std::size_t>(4 * kMiB));
}

TEST_F(Pooled, FreeNeighboursAreOnePlace) {
  const PooledTensors pool;
  std::vector<at::Tensor> row;
  for (int i = 0; i < 5; ++i) row.push_back(bytes(kMiB));
  const void* const second = row[1].const_data_ptr();
  for (const std::size_t i : {2, 1, 3}) row[i].reset();
  const at::Tensor wide = bytes(3 * kMiB);
  EXPECT_EQ(wide.const_data_ptr(), second);
  EXPECT_EQ(held(), static_cast<std::size_t>(5 * kMiB));
}

TEST_F(Pooled, TakesTheTightestPlace) {
  const PooledTensors pool;
  std::vector<at::Tensor> row;
  for (const std::int64_t size : {4, 1, 2, 1}) row.push_back(bytes(size * kMiB));
  const void* const tight = row[2].const_data_ptr();
  row[0].reset();
  row[2].reset();
  const at::Tensor x = bytes(2 * kMiB - 100);
  EXPECT_EQ(x.const_data_ptr(), tight);
}

TEST_F(Pooled, TensorsKeepTheirNumbers) {
  const PooledTensors pool;
  std::vector<at::Tensor> kept;
  for (std::int64_t i = 0; i < 300; ++i) {
    kept.push_back(bytes(kMiB / 4 + i * 7919 % (3 * kMiB)).fill_(i % 251));
    if (i % 3 != 0) kept.erase(kept.begin() + i * 31 % static_cast<std::int64_t>(kept.size()));
  }
  for (const at::Tensor& x : kept) {
    EXPECT_EQ(x.min().item<std::uint8_t>(), x.max().item<std::uint8_t>());
  }
}

TEST_F(Pooled, HoldsLittleMoreThanOnceLived) {
  const PooledTensors pool;
  std::size_t most = 0;
  std::vector<at::Tensor> kept;
  for (std::int64_t i = 0; i < 200; ++i) {
    const at::Tensor passing = bytes((1 + i * 7 % 13) * kMiB);
    if (i % 3 == 0) kept.push_back(bytes((1 + i % 5) * kMiB));
    most = std::max(most, PooledTensors::usage().live);
    if (i % 7 == 6) kept.erase(kept.begin());
    EXPECT_EQ(PooledTensors::usage().most_live, most);
    EXPECT_LE(held(), 2 * most);  // sizes and lives at random: much worse than steps
  }
}

TEST_F(Pooled, TensorsOutliveIt) {
  at::Tensor x;
  {
    const PooledTensors outer;
    {
      const PooledTensors inner;
      x = bytes(2 * kMiB).fill_(7);
    }
    const at::Tensor y = bytes(2 * kMiB);
    EXPECT_EQ(PooledTensors::usage().live, static_cast<std::size_t>(4 * kMiB));
  }
  EXPECT_EQ(held(), static_cast<std::size_t>(2 * kMiB));
  EXPECT_EQ(x[-1].item<std::uint8_t>(), 7);
  const at::Tensor outside = bytes(2 * kMiB);
  EXPECT_EQ(held(), static_cast<std::size_t>(2 * kMiB));
  x.reset();
  EXPECT_EQ(held(), 0u);
}

}  // namespace
}  // namespace powerhouse
