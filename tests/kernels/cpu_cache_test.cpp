// What the cache keeps of keys and values: the plain loop's bits, and those of the gguf package.
#include <algorithm>

#include "kernels/cpu_kernels.h"
#include "kernels/reference/cache.h"

namespace powerhouse::testing {
namespace {

using CacheStoreTest = CpuKernelTest;
POWERHOUSE_EVERY_INSTRUCTION_SET(CacheStoreTest);

constexpr BlockFormat kBlocks[] = {BlockFormat::q8_0, BlockFormat::q5_1, BlockFormat::q5_0,
                                   BlockFormat::q4_1, BlockFormat::q4_0, BlockFormat::iq4_nl};
constexpr BlockFormat kStoredTypes[] = {BlockFormat::f32,  BlockFormat::bf16, BlockFormat::f16,
                                        BlockFormat::q8_0, BlockFormat::q5_1, BlockFormat::q5_0,
                                        BlockFormat::q4_1, BlockFormat::q4_0, BlockFormat::iq4_nl};

// Rows of all kinds: noise of every size, zeros, halves between codes, one large element, equal extremes of both signs.
Buffer rows_of_blocks(Element type, std::mt19937& engine) {
  Buffer x = Buffer::random(type, 40 * 32, engine);
  for (std::int64_t i = 0; i < 20 * 32; ++i) x.set(i, x.at(i) * std::ldexp(1.0f, static_cast<int>(i / 32) - 10));
  for (std::int64_t i = 0; i < 32; ++i) {
    x.set(20 * 32 + i, 0.0f);
    x.set(21 * 32 + i, i == 0 ? 127.0f : static_cast<float>(i) - 15.5f);
    x.set(22 * 32 + i, i == 17 ? -900.0f : x.at(i));
    x.set(23 * 32 + i, i % 2 == 0 ? 2.0f : -2.0f);
    x.set(24 * 32 + i, i == 5 ? -8.0f : static_cast<float>(i) / 4 - 4.0f);
  }
  return x;
}

TEST_P(CacheStoreTest, GivesTheBitsOfThePlainLoop) {
  for (const Element source : kElements) {
    const Buffer x = rows_of_blocks(source, engine_);
    for (const BlockFormat type : kStoredTypes) {
      const auto bytes = static_cast<std::size_t>(cpu::cache_bytes(type, x.size()));
      std::vector<std::uint8_t> found(bytes, 1), expected(bytes, 2);
      const auto run = [&](auto kernel, std::vector<std::uint8_t>& to, std::int64_t begin, std::int64_t end) {
        kernel({.source_type = source, .cache_type = type, .source = x.data(), .destination = to.data()}, begin, end);
      };
      run(kernels().store_cache, found, 0, 96);
      run(kernels().store_cache, found, 96, x.size());
      run(reference::store_cache, expected, 0, x.size());
      const auto [at, other] = std::mismatch(found.begin(), found.end(), expected.begin());
      EXPECT_TRUE(at == found.end()) << block_info(type).name << " byte " << at - found.begin();
    }
  }
}

TEST_P(CacheStoreTest, SaysWhereABlockIsNotFinite) {
  for (const BlockFormat type : kBlocks) {
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
      Buffer x = Buffer::random(Element::f32, 64, engine_);
      x.set(43, bad);
      std::vector<std::uint8_t> cells(static_cast<std::size_t>(cpu::cache_bytes(type, 64)));
      kernels().store_cache({.cache_type = type, .source = x.data(), .destination = cells.data()}, 0, 64);
      for (std::int64_t i = 0; i < 64; ++i) {
        EXPECT_EQ(std::isnan(reference::read_cell(cells.data(), type, i)), i >= 32) << i;
      }
    }
  }
}

// Numbers so small that their scale has no reciprocal are zeros, as f16 has them; what is not finite has no codes.
TEST_P(CacheStoreTest, HasNoCodesForWhatNoScaleReaches) {
  for (const BlockFormat type : {BlockFormat::q8_0, BlockFormat::q4_0}) {
    for (const float number : {1e-37f, 1e-40f, -1e-44f, 0.0f, NAN, INFINITY}) {
      Buffer x(Element::f32, 64, 0.0f);
      x.set(3, number);
      x.set(40, number);
      x.set(41, -number / 2);
      std::vector<std::uint8_t> found(static_cast<std::size_t>(cpu::cache_bytes(type, 64)), 0x55);
      std::vector<std::uint8_t> expected = found;
      kernels().store_cache({.cache_type = type, .source = x.data(), .destination = found.data()}, 0, 64);
      reference::store_cache({.cache_type = type, .source = x.data(), .destination = expected.data()}, 0, 64);
      for (std::int64_t i = 0; i < 64; ++i) {
        const float value = reference::read_cell(found.data(), type, i);
        EXPECT_EQ(std::isnan(value), !std::isfinite(number)) << number << " at " << i;
        if (std::isfinite(number)) {
          EXPECT_EQ(value, 0.0f) << number << " at " << i;
        }
      }
      if (std::isfinite(number)) {
        EXPECT_EQ(found, expected) << number;
      }
    }
  }
}

TEST_P(CacheStoreTest, GivesTheBytesOfTheGgufPackage) {
  const Fixture fixture("cache_blocks.txt");
  const Buffer x = fixture.get("x");
  for (const BlockFormat type : {BlockFormat::q8_0, BlockFormat::q4_0}) {
    const Buffer bytes = fixture.get(block_info(type).name);
    const Buffer values = fixture.get(std::string(block_info(type).name) + "_values");
    std::vector<std::uint8_t> cells(static_cast<std::size_t>(cpu::cache_bytes(type, x.size())));
    ASSERT_EQ(static_cast<std::int64_t>(cells.size()), bytes.size());
    kernels().store_cache({.cache_type = type, .source = x.data(), .destination = cells.data()}, 0, x.size());
    for (std::int64_t i = 0; i < bytes.size(); ++i) {
      ASSERT_EQ(static_cast<float>(cells[static_cast<std::size_t>(i)]), bytes.at(i))
          << block_info(type).name << " " << i;
    }
    for (std::int64_t i = 0; i < x.size(); ++i) {
      ASSERT_EQ(reference::read_cell(cells.data(), type, i), values.at(i)) << block_info(type).name << " " << i;
    }
  }
}

}  // namespace
}  // namespace powerhouse::testing
