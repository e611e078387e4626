// attention over a paged cache: against the plain loop and PyTorch; bits that follow positions alone.
#include "kernels/reference/attention.h"

#include <algorithm>

#include "kernels/cpu_kernels.h"

namespace powerhouse::testing {
namespace {

using AttentionTest = CpuKernelTest;
POWERHOUSE_EVERY_INSTRUCTION_SET(AttentionTest);

struct Shape {
  Element type = Element::f32;
  Element cache_type = Element::f32;
  std::int64_t kv_heads = 2, group = 3, head_dim = 20, page_tokens = 16, tokens = 140;
};

/// A cache whose pages lie in a shuffled pool, two layers a page.
struct Cache {
  Cache(const Shape& cache_shape, const Buffer& k, const Buffer& v, std::mt19937& engine) : shape(cache_shape) {
    const std::int64_t pages = (shape.tokens + shape.page_tokens - 1) / shape.page_tokens;
    layer = shape.page_tokens * shape.kv_heads * shape.head_dim;
    std::vector<std::int64_t> order(2 * pages);
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int64_t>(i);
    std::shuffle(order.begin(), order.end(), engine);
    pool.assign(order.size(), Buffer(shape.cache_type, 2 * layer, NAN));
    for (std::int64_t page = 0; page < pages; ++page) {
      key_pages.push_back(pool[order[2 * page]].data());
      value_pages.push_back(pool[order[2 * page + 1]].data());
      for (std::int64_t i = 0; i < layer; ++i) {
        const std::int64_t from = page * layer + i;
        if (from >= k.size()) break;
        pool[order[2 * page]].set(layer + i, k.at(from));
        pool[order[2 * page + 1]].set(layer + i, v.at(from));
      }
    }
  }
  cpu::AttentionShape kernel_shape() const {
    return {.type = shape.type,
            .cache_type = shape.cache_type,
            .num_kv_heads = shape.kv_heads,
            .group = shape.group,
            .head_dim = shape.head_dim,
            .page_tokens = shape.page_tokens,
            .page_offset = layer,
            .token_stride = shape.kv_heads * shape.head_dim,
            .kv_head_stride = shape.head_dim,
            .q_head_stride = shape.head_dim + 1,
            .out_head_stride = shape.head_dim + 2,
            .scale = 0.4f};
  }
  cpu::AttentionParams params(const cpu::AttentionRow* rows) const { return {kernel_shape(), rows}; }
  cpu::AttentionRow row(const Buffer& q, Buffer& out, std::int64_t begin, std::int64_t end) const {
    return {.q = q.data(),
            .out = out.data(),
            .key_pages = key_pages.data(),
            .value_pages = value_pages.data(),
            .begin = begin,
            .end = end};
  }

  Shape shape;
  std::int64_t layer = 0;
  std::vector<Buffer> pool;
  std::vector<const void*> key_pages, value_pages;
};

/// Runs a kernel with exactly the scratch that it asks for.
void run(const cpu::CpuKernels& kernels, const cpu::AttentionParams& params, std::int64_t begin, std::int64_t end) {
  const auto floats = static_cast<std::size_t>(cpu::attention_scratch_floats(params.group, params.head_dim));
  std::vector<float> scratch(floats, NAN);
  kernels.attention(params, begin, end, scratch.data());
}

TEST_P(AttentionTest, AgreesWithThePlainLoop) {
  std::vector<Shape> shapes;
  for (const Element type : kElements) {
    for (const Element cache_type : kElements) shapes.push_back({.type = type, .cache_type = cache_type});
  }
  for (const std::int64_t head_dim : {1, 3, 16, 33, 64, 80, 128}) {
    shapes.push_back({.head_dim = head_dim});
    shapes.push_back({.type = Element::bf16, .cache_type = Element::bf16, .kv_heads = 1, .head_dim = head_dim});
  }
  for (const std::int64_t page_tokens : {1, 5, 8, 32}) shapes.push_back({.page_tokens = page_tokens});
  for (const std::int64_t kv_heads : {1, 7, 8, 9, 17}) shapes.push_back({.kv_heads = kv_heads, .head_dim = 16});
  for (const std::int64_t group : {1, 2, 4, 5, 7, 8}) shapes.push_back({.group = group, .head_dim = 32});
  for (const Shape& shape : shapes) {
    const std::int64_t cells = shape.tokens * shape.kv_heads * shape.head_dim;
    const Cache cache(shape, Buffer::random(shape.cache_type, cells, engine_, 2.0f),
                      Buffer::random(shape.cache_type, cells, engine_), engine_);
    const std::int64_t heads = shape.kv_heads * shape.group;
    const Buffer q = Buffer::random(shape.type, heads * (shape.head_dim + 1), engine_, 2.0f);
    const std::int64_t spans[][2] = {{0, 1},  {0, 2},   {0, 15}, {0, 16},  {0, 17},   {0, 63}, {0, 64},
                                     {0, 65}, {0, 140}, {5, 6},  {7, 133}, {64, 140}, {9, 9}};
    for (const auto& span : spans) {
      for (const float softcap : {0.0f, 1.5f}) {
        Buffer found(shape.type, heads * (shape.head_dim + 2), -77.0f);
        Buffer expected = found;
        const cpu::AttentionRow rows[] = {cache.row(q, found, span[0], span[1]),
                                          cache.row(q, expected, span[0], span[1])};
        cpu::AttentionParams params = cache.params(&rows[0]);
        params.softcap = softcap;
        run(kernels(), params, 0, shape.kv_heads);
        params.rows = &rows[1];
        reference::attention(params, 0, shape.kv_heads);
        expect_close(found, expected, 2 * spacing(shape.type), 3e-6,
                     ::testing::Message() << "head_dim " << shape.head_dim << " page " << shape.page_tokens << " span "
                                          << span[0] << ".." << span[1] << " softcap " << softcap);
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

struct PrefillCase {
  Shape shape;
  std::int64_t rows = 0, window = 0;
  float softcap = 0;
};

cpu::PrefillParams prefill_params(const Cache& cache, const PrefillCase& one, const Buffer& q, Buffer& out) {
  cpu::PrefillParams params{cache.kernel_shape()};
  const std::int64_t heads = one.shape.kv_heads * one.shape.group;
  params.softcap = one.softcap;
  params.q = q.data();
  params.out = out.data();
  params.key_pages = cache.key_pages.data();
  params.value_pages = cache.value_pages.data();
  params.rows = one.rows;
  params.length = one.shape.tokens;
  params.window = one.window;
  params.q_row_stride = heads * params.q_head_stride + 3;
  params.out_row_stride = heads * params.out_head_stride + 1;
  return params;
}

void run(const cpu::CpuKernels& kernels, const cpu::PrefillParams& params, std::int64_t begin, std::int64_t end) {
  const auto floats = static_cast<std::size_t>(cpu::prefill_scratch_floats(params.group, params.head_dim));
  std::vector<float> scratch(floats, NAN);
  kernels.prefill_attention(params, begin, end, scratch.data());
}

TEST_P(AttentionTest, PrefillAgreesWithThePlainLoop) {
  std::vector<PrefillCase> cases;
  for (const Element type : kElements) {
    for (const Element cache_type : kElements) {
      cases.push_back({.shape = {.type = type, .cache_type = cache_type}, .rows = 140});
    }
  }
  for (const std::int64_t head_dim : {1, 3, 33, 64, 80, 128, 256, 300}) cases.push_back({{.head_dim = head_dim}, 50});
  for (const std::int64_t group : {1, 2, 5, 8, 71}) cases.push_back({{.kv_heads = 1, .group = group}, 67});
  for (const std::int64_t rows : {1, 2, 76, 77, 139}) cases.push_back({.shape = {}, .rows = rows});
  for (const std::int64_t page : {1, 7, 64, 140}) cases.push_back({{.page_tokens = page}, 100});
  for (const std::int64_t window : {1, 5, 64, 65, 139, 1000}) {
    cases.push_back({.shape = {}, .rows = 130, .window = window, .softcap = 1.5f});
  }
  for (const PrefillCase& one : cases) {
    const Shape& shape = one.shape;
    const std::int64_t heads = shape.kv_heads * shape.group;
    const std::int64_t cells = shape.tokens * shape.kv_heads * shape.head_dim;
    const Cache cache(shape, Buffer::random(shape.cache_type, cells, engine_),
                      Buffer::random(shape.cache_type, cells, engine_), engine_);
    const Buffer q = Buffer::random(shape.type, one.rows * (heads * (shape.head_dim + 1) + 3), engine_, 2.0f);
    Buffer found(shape.type, one.rows * (heads * (shape.head_dim + 2) + 1), -9.0f);
    Buffer expected = found;
    const cpu::PrefillParams params = prefill_params(cache, one, q, found);
    run(kernels(), params, 0, cpu::prefill_items(params));

    std::vector<cpu::AttentionRow> rows;
    for (std::int64_t row = 0; row < one.rows; ++row) {
      const std::int64_t end = shape.tokens - one.rows + row + 1;
      rows.push_back(cache.row(q, expected, one.window > 0 ? std::max<std::int64_t>(0, end - one.window) : 0, end));
      rows.back().q = static_cast<const char*>(q.data()) + row * params.q_row_stride * element_bytes(shape.type);
      rows.back().out = static_cast<char*>(expected.data()) + row * params.out_row_stride * element_bytes(shape.type);
    }
    cpu::AttentionParams plain = cache.params(rows.data());
    plain.softcap = one.softcap;
    reference::attention(plain, 0, one.rows * shape.kv_heads);
    // Scores of long heads are large here, and so are their roundings.
    expect_close(found, expected, 2 * spacing(shape.type), shape.head_dim > 128 ? 1e-5 : 3e-6,
                 ::testing::Message() << "rows " << one.rows << " head_dim " << shape.head_dim << " group "
                                      << shape.group << " page " << shape.page_tokens << " window " << one.window);
    if (HasFailure()) return;
  }
}

TEST_P(AttentionTest, PrefillInPiecesGivesTheSameBits) {
  const PrefillCase whole{.shape = {.head_dim = 64, .tokens = 150}, .rows = 150};
  const std::int64_t cells = 150 * 2 * 64;
  const Cache cache(whole.shape, Buffer::random(Element::f32, cells, engine_),
                    Buffer::random(Element::f32, cells, engine_), engine_);
  const Buffer q = Buffer::random(Element::f32, 150 * (6 * 65 + 3), engine_);
  Buffer together(Element::f32, 150 * (6 * 66 + 1));
  Buffer apart = together;
  const cpu::PrefillParams params = prefill_params(cache, whole, q, together);
  run(kernels(), params, 0, cpu::prefill_items(params));
  std::int64_t done = 0;
  for (const std::int64_t rows : {1, 31, 64, 54}) {
    cpu::PrefillParams piece = prefill_params(cache, whole, q, apart);
    piece.q = static_cast<const float*>(piece.q) + done * piece.q_row_stride;
    piece.out = static_cast<float*>(piece.out) + done * piece.out_row_stride;
    piece.rows = rows;
    done += rows;
    piece.length = done;
    for (std::int64_t item = 0; item < cpu::prefill_items(piece); ++item) run(kernels(), piece, item, item + 1);
  }
  EXPECT_EQ(done, 150);
  EXPECT_TRUE(together == apart);
}

TEST_P(AttentionTest, PrefillReadsOnlyWhatItsRowsSee) {
  const PrefillCase one{.shape = {.head_dim = 16, .page_tokens = 1}, .rows = 5, .window = 70};
  const std::int64_t cells = 140 * 2 * 16;
  Cache cache(one.shape, Buffer::random(Element::f32, cells, engine_), Buffer::random(Element::f32, cells, engine_),
              engine_);
  const Buffer q = Buffer::random(Element::f32, 5 * (6 * 17 + 3), engine_);
  Buffer whole(Element::f32, 5 * (6 * 18 + 1));
  Buffer found = whole;
  run(kernels(), prefill_params(cache, one, q, whole), 0, 2);
  for (int position = 0; position < 140 - 5 + 1 - 70; ++position) {  // inside a block, behind every window
    cache.key_pages[position] = nullptr;
    cache.value_pages[position] = nullptr;
  }
  run(kernels(), prefill_params(cache, one, q, found), 0, 2);
  EXPECT_TRUE(found == whole);
}

TEST_P(AttentionTest, LongSumsDoNotDrift) {
  // One key far above the rest, which weigh alike: rounding errors of one long sum all point the same way.
  const PrefillCase one{.shape = {.kv_heads = 1, .group = 1, .head_dim = 2, .page_tokens = 64, .tokens = 1 << 15},
                        .rows = 1};
  Buffer k(Element::f32, 2 * one.shape.tokens);
  k.set(0, 4.0f);
  Buffer v(Element::f32, 2 * one.shape.tokens, 0.1f);
  for (std::int64_t i = 0; i < v.size(); i += 4) v.set(i, 0.7f);
  const Cache cache(one.shape, k, v, engine_);
  const Buffer q(Element::f32, 2 + 1 + 3, 1.0f);
  Buffer expected(Element::f32, 2 + 2 + 1);
  Buffer tiles = expected;
  Buffer single = expected;
  const cpu::AttentionRow rows[] = {cache.row(q, expected, 0, one.shape.tokens),
                                    cache.row(q, single, 0, one.shape.tokens)};
  reference::attention(cache.params(&rows[0]), 0, 1);
  run(kernels(), cache.params(&rows[1]), 0, 1);
  run(kernels(), prefill_params(cache, one, q, tiles), 0, 1);
  expect_close(single, expected, 2e-5, 0, ::testing::Message() << "single");
  expect_close(tiles, expected, 2e-5, 0, ::testing::Message() << "tiles");
}

TEST_P(AttentionTest, PrefillPassesNanOn) {
  const PrefillCase one{.shape = {.head_dim = 16}, .rows = 140};
  const std::int64_t cells = 140 * 2 * 16;
  Buffer k = Buffer::random(Element::f32, cells, engine_);
  k.set((17 * 2 + 1) * 16 + 3, NAN);  // position 17, key-value head 1
  const Cache cache(one.shape, k, Buffer::random(Element::f32, cells, engine_), engine_);
  const Buffer q(Element::f32, 140 * (6 * 17 + 3), 1.0f);
  Buffer out(Element::f32, 140 * (6 * 18 + 1));
  const cpu::PrefillParams params = prefill_params(cache, one, q, out);
  run(kernels(), params, 0, cpu::prefill_items(params));
  for (int row = 0; row < 140; ++row) {
    for (int head = 0; head < 6; ++head) {
      EXPECT_EQ(std::isnan(out.at(row * (6 * 18 + 1) + head * 18)), head >= 3 && row >= 17) << row << " " << head;
    }
  }
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

}  // namespace
}  // namespace powerhouse::testing
