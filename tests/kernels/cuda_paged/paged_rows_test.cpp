// Rows into pages, out of them, and pages into others: bits of the CPU's cache, in every order of threads.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "kernels/cuda_paged/paged_case.h"
#include "kernels/cuda_rows/device_buffers.h"
#include "kernels/reference/cache.h"

namespace powerhouse::testing {
namespace {

using cuda_on_host::Contents;
using cuda_on_host::DeviceArray;
using cuda_on_host::GlobalMemory;
using cuda_on_host::Order;

CacheCase random_cache(std::mt19937& engine) {
  constexpr BlockFormat kTypes[] = {BlockFormat::f32, BlockFormat::bf16, BlockFormat::f16, BlockFormat::q8_0,
                                    BlockFormat::q4_0};
  CacheCase one;
  one.cache = kTypes[engine() % 5];
  one.head_dim = static_cast<int>(engine() % 8 + 1) * 32;
  if (block_info(one.cache).block_elements == 1) one.head_dim -= static_cast<int>(engine() % 4) * 8;
  one.kv_heads = static_cast<int>(engine() % 3 + 1);
  one.page_tokens = static_cast<int>(engine() % 2 == 0 ? 16 : engine() % 9 + 1);
  const std::size_t sequences = engine() % 3 + 1;
  one.rows.clear(), one.lengths.clear();
  for (std::size_t s = 0; s < sequences; ++s) {
    one.rows.push_back(static_cast<int>(engine() % 20));
    one.lengths.push_back(static_cast<int>(engine() % 40));
  }
  return one;
}

/// New rows of keys or values [rows, kv_heads, head_dim] with gaps, and what may happen to be in them.
class NewRows {
 public:
  NewRows(const CacheCase& one, Element type, bool value)
      : head_stride(one.head_dim + 8),
        row_stride(one.kv_heads * head_stride + 16),
        data(static_cast<std::size_t>((one.all_rows() + 1) * row_stride * element_bytes(type))) {
    std::memset(data.data(), 0xFF, data.bytes());
    for (int row = 0; row < one.all_rows(); ++row) {
      for (int head = 0; head < one.kv_heads; ++head) {
        for (int d = 0; d < one.head_dim; ++d) {
          write_element(data.data(), type, at(row, head) + d, number(row * 31 + head, d, value));
        }
      }
    }
  }
  std::int64_t at(int row, int head) const { return row * row_stride + head * head_stride; }

  std::int64_t head_stride, row_stride;
  DeviceArray<std::uint8_t> data;

 private:
  static float number(int vector, int d, bool value) {
    const float x = number_at(value ? 4 : 5, 0, vector, d / 32, d);
    switch (vector * 3 % 11) {
      case 0: return 0;
      case 1: return d % 32 == 0 ? 127.0f : static_cast<float>(d % 32) - 15.5f;  // halves between codes
      case 2: return d % 2 == 0 ? 2.0f : -2.0f;                                  // extremes of both signs
      case 3: return d == 40 ? NAN : x;
      case 4: return d == 7 ? INFINITY : x;
      case 5: return x * 1e-7f;
      default: return x * std::ldexp(1.0f, vector % 12 - 6);
    }
  }
};

void expect_written(const CacheCase& one, Element type, bool row_starts) {
  NewRows keys(one, type, false), values(one, type, true);
  CacheOnHost expected(one, false, row_starts);
  for (int s = 0; s < one.sequences(); ++s) {
    for (int row = 0; row < one.rows[static_cast<std::size_t>(s)]; ++row) {
      for (int head = 0; head < one.kv_heads && one.position(s, row) >= 0; ++head) {
        for (const bool value : {false, true}) {
          NewRows& from = value ? values : keys;
          reference::store_cache(
              {.source_type = type,
               .cache_type = one.cache,
               .source = from.data.data() + from.at(one.first_row(s) + row, head) * element_bytes(type),
               .destination = expected.row(s, one.position(s, row), head, value)},
              0, one.head_dim);
        }
      }
    }
  }
  for (const Order order : kSchedules) {
    CacheOnHost found(one, false, row_starts);
    GlobalMemory memory;
    found.add_to(memory, Contents::in_out);
    memory.add(keys.data.data(), keys.data.bytes(), "new keys", Contents::input);
    memory.add(values.data.data(), values.data.bytes(), "new values", Contents::input);
    const CountingLauncher launcher(memory, order, 1, {});
    ASSERT_TRUE(paged_write_on_host({.cache = found.params(),
                                     .type = type,
                                     .keys = keys.data.data(),
                                     .values = values.data.data(),
                                     .key_row_stride = keys.row_stride,
                                     .key_head_stride = keys.head_stride,
                                     .value_row_stride = values.row_stride,
                                     .value_head_stride = values.head_stride},
                                    launcher));
    ASSERT_EQ(launcher.text(), "clean");
    const auto a = found.bytes(), b = expected.bytes();
    const auto [at, other] = std::mismatch(a.begin(), a.end(), b.begin());
    ASSERT_TRUE(at == a.end()) << block_info(one.cache).name << " head_dim " << one.head_dim << " byte "
                               << at - a.begin();
  }
}

TEST(PagedWriteTest, GivesTheBitsOfTheCpusCache) {
  std::mt19937 engine(3);
  for (int i = 0; i < 210; ++i) {
    CacheCase one = random_cache(engine);
    const bool row_starts = i % 3 != 0;
    if (!row_starts) one.rows.assign(one.rows.size(), one.rows[0]);
    expect_written(one, kElements[engine() % 3], row_starts);
  }
}

TEST(PagedWriteTest, RefusesWhatHasNoKernel) {
  GlobalMemory memory;
  const CountingLauncher launcher(memory, Order::forward, 1, {});
  for (const auto& [type, head_dim] : {std::pair{BlockFormat::q6_k, 256},
                                       {BlockFormat::bf16, 264},
                                       {BlockFormat::bf16, 20},
                                       {BlockFormat::q8_0, 80}}) {
    const cuda::PagedCache cache{.type = type, .sequences = 1, .head_dim = head_dim};
    EXPECT_FALSE(paged_write_on_host({.cache = cache}, launcher));
    EXPECT_FALSE(paged_gather_on_host({.cache = cache}, launcher));
    EXPECT_FALSE(paged_attention_on_host({.cache = cache}, launcher));
  }
  EXPECT_FALSE(paged_attention_on_host(
      {.cache = {.type = BlockFormat::f16, .sequences = 1, .head_dim = 64}, .type = Element::bf16}, launcher));
  EXPECT_TRUE(launcher.reports().empty());
}

void expect_gathered(const CacheCase& one, Element type, bool with_starts) {
  CacheOnHost cache(one, true, true);
  const cuda::PagedCache params = cache.params();
  std::vector<std::int32_t> starts{0};
  for (int s = 0; s < one.sequences(); ++s) {
    starts.push_back(with_starts ? starts.back() + one.lengths[static_cast<std::size_t>(s)]
                                 : (s + 1) * params.most_length);
  }
  const std::int64_t token = one.kv_heads * one.head_dim;
  const auto bytes = static_cast<std::size_t>(starts.back() * token * element_bytes(type));
  DeviceArray<std::uint8_t> keys(bytes + 16), values(bytes + 16);
  for (const Order order : kSchedules) {
    GlobalMemory memory;
    cache.add_to(memory, Contents::input);
    memory.add(starts.data(), starts.size() * 4, "starts", Contents::input);
    memory.add(keys.data(), keys.bytes(), "dense keys", Contents::output);
    memory.add(values.data(), values.bytes(), "dense values", Contents::output);
    const CountingLauncher launcher(memory, order, 1, {});
    ASSERT_TRUE(paged_gather_on_host({.cache = params,
                                      .type = type,
                                      .keys = keys.data(),
                                      .values = values.data(),
                                      .starts = with_starts ? starts.data() : nullptr},
                                     launcher));
    ASSERT_EQ(launcher.text(), "clean");
    for (int s = 0; s < one.sequences(); ++s) {
      for (int t = 0; t < one.lengths[static_cast<std::size_t>(s)]; ++t) {
        for (std::int64_t i = 0; i < token; ++i) {
          const auto head = static_cast<int>(i / one.head_dim), d = static_cast<int>(i % one.head_dim);
          const std::int64_t at = (starts[static_cast<std::size_t>(s)] + t) * token + i;
          for (const bool value : {false, true}) {
            const auto cell = static_cast<float>(cache.cell(s, t, head, d, value));
            ASSERT_EQ(read_element((value ? values : keys).data(), type, at), round_element(cell, type))
                << block_info(one.cache).name << " sequence " << s << " position " << t << " at " << i;
          }
        }
      }
    }
  }
}

TEST(PagedGatherTest, GivesTheCellsRounded) {
  std::mt19937 engine(4);
  for (int i = 0; i < 210; ++i) {
    CacheCase one = random_cache(engine);
    one.shared_pages = i % 2;
    expect_gathered(one, kElements[engine() % 3], i % 3 != 0);
  }
}

TEST(PagedGatherTest, MovesWholeSectors) {
  const CacheCase one{.kv_heads = 2, .head_dim = 128, .rows = {1}, .lengths = {48}};
  CacheOnHost cache(one, true, true);
  DeviceArray<std::uint8_t> keys(48 * 2 * 128 * 2), values(48 * 2 * 128 * 2);
  GlobalMemory memory;
  cache.add_to(memory, Contents::input);
  memory.add(keys.data(), keys.bytes(), "dense keys", Contents::output);
  memory.add(values.data(), values.bytes(), "dense values", Contents::output);
  CountingLauncher launcher(memory, Order::forward, 1, {"keys", "values"});
  launcher.count_traffic(0);
  paged_gather_on_host({.cache = cache.params(), .keys = keys.data(), .values = values.data()}, launcher);
  EXPECT_EQ(launcher.bytes.at("keys")[0].read, keys.bytes());
  EXPECT_EQ(launcher.bytes.at("values")[0].read, values.bytes());
  int seen = 0;
  for (const auto& row : launcher.reports()[0].traffic) {
    if (row.size != 16) continue;
    ++seen;
    EXPECT_EQ(row.cost.paid, row.cost.ideal);
  }
  EXPECT_GE(seen, 2);
}

// Some pages of many, in parts that lie apart; everything else stays as it was.
TEST(PageCopyTest, CopiesTheirPartsAndNothingElse) {
  std::mt19937 engine(6);
  for (int i = 0; i < 210; ++i) {
    const int bytes =
        i % 2 == 0 ? static_cast<int>(engine() % 300 + 1) * 16 : static_cast<int>(engine() % 2000 + 1) * 2;
    constexpr int kPages = 5, kParts = 3;
    const int copies = i % 3 + 1;  // of pages 0, 1, ... to 4, 3, ...
    DeviceArray<std::uint8_t> slab(static_cast<std::size_t>(kPages * kParts * bytes));
    std::vector<std::uint8_t> expected(slab.size());
    const std::int64_t offsets[kParts] = {0, kPages * bytes, 2 * kPages * bytes};
    const void* from[3];
    void* to[3];
    for (int k = 0; k < copies; ++k) {
      from[k] = slab.data() + std::min(k, 4 - copies) * bytes;
      to[k] = slab.data() + (4 - k) * bytes;
    }
    for (const Order order : kSchedules) {
      for (std::uint8_t& byte : slab) byte = static_cast<std::uint8_t>(engine());
      std::copy(slab.begin(), slab.end(), expected.begin());
      for (int k = 0; k < copies; ++k) {
        for (const std::int64_t offset : offsets) {
          std::copy_n(expected.begin() + offset + std::min(k, 4 - copies) * bytes, bytes,
                      expected.begin() + offset + (4 - k) * bytes);
        }
      }
      GlobalMemory memory;
      memory.add(slab.data(), slab.size(), "slab", Contents::in_out);
      memory.add(offsets, sizeof offsets, "offsets", Contents::input);
      memory.add(from, sizeof from, "from", Contents::input);
      memory.add(to, sizeof to, "to", Contents::input);
      const CountingLauncher launcher(memory, order, 1, {"slab"});
      ASSERT_TRUE(page_copy_on_host(
          {.from = from, .to = to, .offsets = offsets, .pages = copies, .parts = kParts, .bytes = bytes}, launcher));
      ASSERT_EQ(launcher.text(), "clean");
      ASSERT_TRUE(std::equal(slab.begin(), slab.end(), expected.begin())) << bytes;
      ASSERT_EQ(launcher.bytes.at("slab")[0].read, static_cast<std::uint64_t>(copies * kParts * bytes));
    }
  }
}

}  // namespace
}  // namespace powerhouse::testing
