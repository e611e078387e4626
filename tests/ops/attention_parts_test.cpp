// Rows cut into parts: where they are cut, and how threads share them.
#include "ops/attention_parts.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace powerhouse {
namespace {

constexpr std::int64_t kHeads = 3;

cpu::AttentionRow row(std::int64_t begin, std::int64_t end) {
  static float out[1];
  return {.out = out, .begin = begin, .end = end, .position = end - 1};
}

TEST(AttentionParts, ShortRowsStayWhole) {
  ops::AttentionParts parts;
  parts.begin(kHeads, 6, 8);
  parts.add(row(0, 1));
  parts.add(row(0, cpu::kAttentionPart));
  parts.add(row(5, 5));
  parts.end();
  EXPECT_FALSE(parts.cut());
  EXPECT_EQ(parts.items(), 3 * kHeads);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(parts.rows()[i].partial, nullptr);
}

TEST(AttentionParts, LongRowsAreCutWherePositionsSay) {
  constexpr std::int64_t kPart = cpu::kAttentionPart;
  ops::AttentionParts parts;
  for (int turn = 0; turn < 2; ++turn) {  // the second time in the same room
    parts.begin(kHeads, 6, 8);
    parts.add(row(0, 10));
    parts.add(row(kPart - 3, 2 * kPart + 1));
    parts.add(row(0, kPart + 1));
    parts.end();
    ASSERT_TRUE(parts.cut());
    const std::int64_t expected[][2] = {{0, 10},    {kPart - 3, kPart}, {kPart, 2 * kPart}, {2 * kPart, 2 * kPart + 1},
                                        {0, kPart}, {kPart, kPart + 1}};
    ASSERT_EQ(parts.items(), 6 * kHeads);
    for (int i = 0; i < 6; ++i) {
      EXPECT_EQ(parts.rows()[i].begin, expected[i][0]) << i;
      EXPECT_EQ(parts.rows()[i].end, expected[i][1]) << i;
      EXPECT_EQ(parts.rows()[i].partial != nullptr, i > 0) << i;
    }
    EXPECT_EQ(parts.merge_items(), 2 * 6);
    EXPECT_EQ(parts.merges()[0].parts, 3);
    EXPECT_EQ(parts.merges()[0].partials, parts.rows()[1].partial);
    EXPECT_EQ(parts.merges()[1].parts, 2);
    EXPECT_EQ(parts.merges()[1].partials, parts.rows()[4].partial);
    EXPECT_EQ(parts.rows()[2].partial - parts.rows()[1].partial, cpu::attention_partial_floats(6, 8));
  }
}

TEST(AttentionParts, SharesCoverEveryItemOnceAndWeighAlike) {
  for (const std::int64_t length : {1, 257, 300, 700, 4096, 5000}) {
    for (const int workers : {1, 2, 3, 7, 64}) {
      ops::AttentionParts parts;
      parts.begin(kHeads, 3, 8);
      parts.add(row(0, 1));
      parts.add(row(0, length));
      parts.add(row(0, 100));
      parts.end();
      std::int64_t next = 0;
      const double fair = static_cast<double>((length + 101) * kHeads) / workers;
      for (int worker = 0; worker < workers; ++worker) {
        const Range share = parts.share_of(worker, workers);
        EXPECT_EQ(share.begin, next);
        EXPECT_LE(share.begin, share.end);
        next = share.end;
        std::int64_t positions = 0;
        for (std::int64_t item = share.begin; item < share.end; ++item) {
          positions += parts.rows()[item / kHeads].end - parts.rows()[item / kHeads].begin;
        }
        EXPECT_LE(static_cast<double>(positions), fair + cpu::kAttentionPart) << length << " " << workers;
      }
      EXPECT_EQ(next, parts.items());
    }
  }
}

}  // namespace
}  // namespace powerhouse
