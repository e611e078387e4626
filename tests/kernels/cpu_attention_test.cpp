// attention over a paged cache: against the plain loop, PyTorch and transformers; bits that follow positions alone.
#include "kernels/reference/attention.h"

#include "kernels/attention_cache.h"

namespace powerhouse::testing {
namespace {

using AttentionTest = CpuKernelTest;
POWERHOUSE_EVERY_INSTRUCTION_SET(AttentionTest);

/// Runs a kernel with exactly the scratch that it asks for.
void run(const cpu::CpuKernels& kernels, const cpu::AttentionParams& params, std::int64_t begin, std::int64_t end) {
  const auto floats = static_cast<std::size_t>(cpu::attention_scratch_floats(params.group, params.head_dim));
  std::vector<float> scratch(floats, NAN);
  kernels.attention(params, begin, end, scratch.data());
}

TEST_P(AttentionTest, AgreesWithThePlainLoop) {
  std::vector<Shape> shapes;
  for (const Element type : kElements) {
    for (const CacheTypes& types : kCacheTypes) {
      const std::int64_t head_dim = !has_blocks(types) ? 20 : 96;
      shapes.push_back({.type = type, .key_type = types.keys, .value_type = types.values, .head_dim = head_dim});
    }
  }
  for (const std::int64_t head_dim : {1, 3, 8, 16, 20, 33, 64, 80, 96, 112, 128, 192, 256}) {
    shapes.push_back({.head_dim = head_dim});
    shapes.push_back({.type = Element::bf16,
                      .key_type = BlockFormat::bf16,
                      .value_type = BlockFormat::bf16,
                      .kv_heads = 1,
                      .head_dim = head_dim});
  }
  for (const std::int64_t page_tokens : {1, 5, 8, 32}) shapes.push_back({.page_tokens = page_tokens});
  for (const std::int64_t kv_heads : {1, 7, 8, 9, 17}) shapes.push_back({.kv_heads = kv_heads, .head_dim = 16});
  for (const std::int64_t group : {1, 2, 4, 5, 7, 8}) shapes.push_back({.group = group, .head_dim = 32});
  for (const Shape& shape : shapes) {
    const std::int64_t cells = shape.tokens * shape.kv_heads * shape.head_dim;
    const Cache cache(shape, Buffer::random(Element::f32, cells, engine_, 2.0f),
                      Buffer::random(Element::f32, cells, engine_), engine_);
    const std::int64_t heads = shape.kv_heads * shape.group;
    const Buffer q = Buffer::random(shape.type, heads * (shape.head_dim + 1), engine_, 2.0f);
    const std::int64_t spans[][2] = {{0, 1},  {0, 2},   {0, 15}, {0, 16},  {0, 17},   {0, 63}, {0, 64},
                                     {0, 65}, {0, 140}, {5, 6},  {7, 133}, {64, 140}, {9, 9}};
    for (const auto& span : spans) {
      for (Extras extras : all_extras()) {
        Buffer found(shape.type, heads * (shape.head_dim + 2), -77.0f);
        Buffer expected = found;
        const cpu::AttentionRow rows[] = {cache.row(q, found, span[0], span[1]),
                                          cache.row(q, expected, span[0], span[1])};
        cpu::AttentionParams params = cache.params(&rows[0]);
        extras.apply(params);
        run(kernels(), params, 0, shape.kv_heads);
        params.rows = &rows[1];
        reference::attention(params, 0, shape.kv_heads);
        expect_close(found, expected, 2 * spacing(shape.type), 3e-6,
                     ::testing::Message() << "head_dim " << shape.head_dim << " page " << shape.page_tokens << " span "
                                          << span[0] << ".." << span[1] << " " << extras);
        if (HasFailure()) return;
      }
    }
  }
}

TEST_P(AttentionTest, BatchAndPagesDoNotChangeBits) {
  const Shape shape{.kv_heads = 3, .head_dim = 64, .tokens = 161};
  const std::int64_t cells = shape.tokens * shape.kv_heads * shape.head_dim;
  const Buffer k = Buffer::random(Element::f32, cells, engine_);
  const Buffer v = Buffer::random(Element::f32, cells, engine_);
  Shape wide = shape;
  wide.page_tokens = 200;
  const Cache paged(shape, k, v, engine_);
  const Cache contiguous(wide, k, v, engine_);
  const std::int64_t size = shape.kv_heads * shape.group * (shape.head_dim + 2);
  const Buffer q = Buffer::random(Element::f32, size, engine_);
  std::vector<Buffer> alone(8, Buffer(Element::f32, size));
  std::vector<Buffer> together = alone;
  std::vector<cpu::AttentionRow> rows;
  for (int i = 0; i < 8; ++i) {
    const cpu::AttentionRow row = contiguous.row(q, alone[i], i, shape.tokens - 3 * i);
    for (std::int64_t head = 0; head < shape.kv_heads; ++head) run(kernels(), contiguous.params(&row), head, head + 1);
    rows.push_back(paged.row(q, together[i], i, shape.tokens - 3 * i));
  }
  run(kernels(), paged.params(rows.data()), 0, 8 * shape.kv_heads);
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(alone[i] == together[i]) << "row " << i;
}

/// Parts of a row, cut at multiples of `part`, and put together.
void run_in_parts(const cpu::CpuKernels& kernels, const cpu::AttentionParams& params, std::int64_t part) {
  const cpu::AttentionRow& row = *params.rows;
  const std::int64_t heads = params.num_kv_heads * params.group;
  const std::int64_t floats = cpu::attention_partial_floats(heads, params.head_dim);
  std::vector<cpu::AttentionRow> rows;
  std::vector<float> partials(static_cast<std::size_t>(row.end / part + 1) * static_cast<std::size_t>(floats), NAN);
  for (std::int64_t begin = row.begin; begin < row.end; begin = rows.back().end) {
    rows.push_back(row);
    rows.back().begin = begin;
    rows.back().end = std::min(row.end, (begin / part + 1) * part);
    rows.back().partial = partials.data() + (static_cast<std::int64_t>(rows.size()) - 1) * floats;
  }
  cpu::AttentionParams parts = params;
  parts.rows = rows.data();
  // The last part first: whoever computes them, and when, is all the same.
  const auto items = static_cast<std::int64_t>(rows.size()) * params.num_kv_heads;
  for (std::int64_t item = items - 1; item >= 0; --item) run(kernels, parts, item, item + 1);
  const cpu::AttentionMerge merge{partials.data(), static_cast<std::int64_t>(rows.size()), row.out};
  kernels.merge_attention({.type = params.type,
                           .num_heads = heads,
                           .head_dim = params.head_dim,
                           .out_head_stride = params.out_head_stride,
                           .sinks = params.sinks,
                           .rows = &merge},
                          0, heads);
}

TEST_P(AttentionTest, PartsPutTogetherAreTheWhole) {
  for (const std::int64_t head_dim : {3, 20, 64, 80, 128, 300}) {
    for (const Element type : kElements) {
      const Shape shape{.type = type, .key_type = cache_of(type), .value_type = cache_of(type), .head_dim = head_dim};
      const std::int64_t cells = shape.tokens * shape.kv_heads * head_dim;
      const Cache cache(shape, Buffer::random(Element::f32, cells, engine_, 2.0f),
                        Buffer::random(Element::f32, cells, engine_), engine_);
      const Buffer q = Buffer::random(type, 6 * (head_dim + 1), engine_, 2.0f);
      const std::int64_t spans[][2] = {{0, 1}, {0, 64}, {0, 65}, {0, 140}, {7, 133}, {64, 140}};
      for (const auto& span : spans) {
        for (Extras extras : all_extras()) {
          Buffer found(type, 6 * (head_dim + 2), -77.0f);
          Buffer expected = found;
          const cpu::AttentionRow rows[] = {cache.row(q, found, span[0], span[1]),
                                            cache.row(q, expected, span[0], span[1])};
          cpu::AttentionParams params = cache.params(&rows[0]);
          extras.apply(params);
          run_in_parts(kernels(), params, 64);
          params.rows = &rows[1];
          reference::attention(params, 0, shape.kv_heads);
          expect_close(found, expected, 2 * spacing(type), 3e-6,
                       ::testing::Message()
                           << "head_dim " << head_dim << " span " << span[0] << ".." << span[1] << " " << extras);
          if (HasFailure()) return;
        }
      }
    }
  }
}

// Where every key of a part weighs nothing, and where one is not finite.
TEST_P(AttentionTest, PartsAtTheLimits) {
  const Shape shape{.kv_heads = 1, .group = 2, .head_dim = 16};
  const std::int64_t cells = shape.tokens * 16;
  Buffer k = Buffer::random(Element::f32, cells, engine_);
  for (int i = 0; i < 64 * 16; ++i) k.set(i, -INFINITY);
  const Buffer v = Buffer::random(Element::f32, cells, engine_);
  const Buffer q(Element::f32, 2 * 17, 1.0f);
  for (const bool nan : {false, true}) {
    if (nan) k.set(70 * 16, NAN);
    const Cache cache(shape, k, v, engine_);
    Buffer found(Element::f32, 2 * 18);
    Buffer expected = found;
    const cpu::AttentionRow rows[] = {cache.row(q, found, 0, 140), cache.row(q, expected, 64, 140)};
    run_in_parts(kernels(), cache.params(&rows[0]), 64);
    const cpu::AttentionParams params = cache.params(&rows[1]);
    reference::attention(params, 0, 1);
    expect_close(found, expected, 2 * spacing(Element::f32), 3e-6, ::testing::Message() << "nan " << nan);
  }
}

TEST_P(AttentionTest, NanReachesItsHeadsOnly) {
  const Shape shape{.head_dim = 16};
  const std::int64_t cells = shape.tokens * 2 * 16;
  Buffer k = Buffer::random(Element::f32, cells, engine_);
  const Buffer v = Buffer::random(Element::f32, cells, engine_);
  k.set((17 * 2 + 1) * 16 + 3, NAN);  // position 17, key-value head 1
  const Cache cache(shape, k, v, engine_);
  const Buffer q(Element::f32, 6 * 17, 1.0f);
  for (const std::int64_t end : {17, 18}) {
    Buffer out(Element::f32, 6 * 18);
    const cpu::AttentionRow row = cache.row(q, out, 0, end);
    run(kernels(), cache.params(&row), 0, 2);
    for (int head = 0; head < 6; ++head) EXPECT_EQ(std::isnan(out.at(head * 18)), head >= 3 && end == 18);
  }
}

TEST_P(AttentionTest, LargeScoresStayFinite) {
  const Shape shape{.group = 1, .head_dim = 16};
  const std::int64_t cells = shape.tokens * 2 * 16;
  const Buffer k = Buffer::random(Element::f32, cells, engine_, 1e4f);
  const Buffer v(Element::f32, cells, 3.0f);
  const Cache cache(shape, k, v, engine_);
  const Buffer q(Element::f32, 2 * 17, 1e4f);
  Buffer out(Element::f32, 2 * 18);
  const cpu::AttentionRow row = cache.row(q, out, 0, 40);
  run(kernels(), cache.params(&row), 0, 2);
  for (int d = 0; d < 16; ++d) EXPECT_NEAR(out.at(d), 3.0f, 1e-5f);
}

// Where a sequence is long, slope * position is large, and near keys differ by its last bits.
TEST_P(AttentionTest, AlibiOfNearKeysIsExactAtLargePositions) {
  Shape shape{.kv_heads = 1, .group = 12, .tokens = 16};
  const Buffer cells = Buffer::random(Element::f32, 16 * 20, engine_);
  Cache cache(shape, cells, cells, engine_);
  constexpr std::int64_t kEnd = 1000003;
  cache.key_pages.assign(kEnd / 16 + 1, cache.key_pages[0]);
  cache.value_pages = cache.key_pages;
  const Buffer q = Buffer::random(Element::f32, 12 * 21, engine_);
  Buffer found(Element::f32, 12 * 22);
  Buffer expected = found;
  const cpu::AttentionRow rows[] = {cache.row(q, found, kEnd - 100, kEnd), cache.row(q, expected, kEnd - 100, kEnd)};
  cpu::AttentionParams params = cache.params(&rows[0]);
  Extras extras{.alibi = true};
  extras.apply(params);
  run(kernels(), params, 0, 1);
  params.rows = &rows[1];
  reference::attention(params, 0, 1);
  expect_close(found, expected, 2 * spacing(Element::f32), 3e-6, ::testing::Message() << "alibi");
}

TEST_P(AttentionTest, SinkAtTheLimits) {
  const Shape shape{.kv_heads = 1, .group = 4};
  const std::int64_t cells = shape.tokens * 20;
  const Cache cache(shape, Buffer::random(Element::f32, cells, engine_), Buffer::random(Element::f32, cells, engine_),
                    engine_);
  const Buffer q(Element::f32, 4 * 21, 1.0f);
  Buffer plain(Element::f32, 4 * 22);
  Buffer sunk = plain;
  const cpu::AttentionRow rows[] = {cache.row(q, plain, 0, 90), cache.row(q, sunk, 0, 90), cache.row(q, sunk, 7, 7)};
  run(kernels(), cache.params(&rows[0]), 0, 1);
  const float sinks[] = {-INFINITY, -200.0f, 1e30f, NAN};
  cpu::AttentionParams params = cache.params(&rows[1]);
  params.sinks = sinks;
  run(kernels(), params, 0, 1);
  for (int d = 0; d < 20; ++d) {
    EXPECT_EQ(sunk.at(d), plain.at(d));
    EXPECT_EQ(sunk.at(22 + d), plain.at(22 + d));
    EXPECT_EQ(sunk.at(44 + d), 0.0f);
    EXPECT_TRUE(std::isnan(sunk.at(66 + d)));
  }
  params.rows = &rows[2];
  run(kernels(), params, 0, 1);
  for (int d = 0; d < 20; ++d) EXPECT_EQ(sunk.at(d), 0.0f);
}

TEST_P(AttentionTest, AgreesWithPyTorch) {
  const Fixture fixture;
  const Shape shape{.tokens = 21};
  const Cache cache(shape, fixture.get("attention_k"), fixture.get("attention_v"), engine_);
  const Buffer q = fixture.get("attention_q");
  struct Case {
    std::string name;
    std::int64_t begin;
    float softcap;
  };
  for (const Case& one : {Case{"attention_y", 0, 0}, {"attention_window_y", 9, 0}, {"attention_softcap_y", 0, 2}}) {
    Buffer out(Element::f32, 120);
    const cpu::AttentionRow row = cache.row(q, out, one.begin, 21);
    cpu::AttentionParams params = cache.params(&row);
    params.q_head_stride = 20;
    params.out_head_stride = 20;
    params.scale = 0.3f;
    params.softcap = one.softcap;
    run(kernels(), params, 0, 2);
    expect_close(out, fixture.get(one.name), 1e-5, 1e-6, ::testing::Message() << one.name);
  }
}

// Twelve query heads on one key-value head: slopes that are no powers of two, and positions beyond bf16's integers.
TEST_P(AttentionTest, AlibiAndSinksAgreeWithTransformers) {
  const Fixture fixture;
  const Shape shape{.kv_heads = 1, .group = 12, .head_dim = 4, .tokens = 270};
  const Cache cache(shape, fixture.get("alibi_k"), fixture.get("alibi_v"), engine_);
  const Buffer q = fixture.get("alibi_q");
  const Buffer slopes = fixture.get("alibi_slopes");
  const Buffer sinks = fixture.get("sinks");
  for (const std::string name : {"bloom", "falcon", "sink"}) {
    Buffer out(Element::f32, 48);
    const cpu::AttentionRow row = cache.row(q, out, 0, 270);
    cpu::AttentionParams params = cache.params(&row);
    params.q_head_stride = 4;
    params.out_head_stride = 4;
    params.scale = 0.5f;
    params.alibi_slopes = name == "sink" ? nullptr : static_cast<const float*>(slopes.data());
    params.alibi_in_bf16 = name == "falcon";
    params.sinks = name == "sink" ? static_cast<const float*>(sinks.data()) : nullptr;
    run(kernels(), params, 0, 1);
    // PyTorch adds slope * position, up to 190, in float32.
    expect_close(out, fixture.get(name + "_y"), 1e-5, 1e-5, ::testing::Message() << name);
  }
}

}  // namespace
}  // namespace powerhouse::testing
