// prefill_attention over a paged cache: against the plain loop and transformers; bits that follow positions alone.
#include "kernels/reference/attention.h"

#include "kernels/attention_cache.h"

namespace powerhouse::testing {
namespace {

using PrefillAttentionTest = CpuKernelTest;
POWERHOUSE_EVERY_INSTRUCTION_SET(PrefillAttentionTest);

struct PrefillCase {
  Shape shape;
  std::int64_t rows = 0, window = 0;
  Extras extras{};
};

cpu::PrefillParams prefill_params(const Cache& cache, const PrefillCase& one, const Buffer& q, Buffer& out) {
  cpu::PrefillParams params{cache.kernel_shape()};
  const std::int64_t heads = one.shape.kv_heads * one.shape.group;
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

/// The plain loop over the rows of a prompt.
void reference_prefill(const Cache& cache, PrefillCase& one, const cpu::PrefillParams& params, const Buffer& q,
                       Buffer& expected) {
  const Shape& shape = one.shape;
  std::vector<cpu::AttentionRow> rows;
  for (std::int64_t row = 0; row < one.rows; ++row) {
    const std::int64_t end = shape.tokens - one.rows + row + 1;
    rows.push_back(cache.row(q, expected, one.window > 0 ? std::max<std::int64_t>(0, end - one.window) : 0, end));
    rows.back().q = static_cast<const char*>(q.data()) + row * params.q_row_stride * element_bytes(shape.type);
    rows.back().out = static_cast<char*>(expected.data()) + row * params.out_row_stride * element_bytes(shape.type);
  }
  cpu::AttentionParams plain = cache.params(rows.data());
  one.extras.apply(plain);
  reference::attention(plain, 0, one.rows * shape.kv_heads);
}

TEST_P(PrefillAttentionTest, AgreesWithThePlainLoop) {
  std::vector<PrefillCase> cases;
  for (const Element type : kElements) {
    for (const CacheTypes& types : kCacheTypes) {
      const std::int64_t head_dim = !has_blocks(types) ? 20 : 64;
      cases.push_back(
          {.shape = {.type = type, .key_type = types.keys, .value_type = types.values, .head_dim = head_dim},
           .rows = 140});
    }
  }
  for (const std::int64_t head_dim : {1, 3, 8, 20, 33, 64, 80, 96, 112, 128, 192, 256, 300}) {
    cases.push_back({{.head_dim = head_dim}, 50});
    cases.push_back(
        {{.type = Element::bf16, .key_type = BlockFormat::bf16, .value_type = BlockFormat::bf16, .head_dim = head_dim},
         50});
  }
  for (const std::int64_t group : {1, 2, 5, 8, 71, 130}) cases.push_back({{.kv_heads = 1, .group = group}, 67});
  for (const std::int64_t rows : {1, 2, 76, 77, 139}) cases.push_back({.shape = {}, .rows = rows});
  for (const std::int64_t page : {1, 7, 64, 140}) cases.push_back({{.page_tokens = page}, 100});
  for (const std::int64_t window : {1, 5, 64, 65, 139, 1000}) {
    cases.push_back({.shape = {}, .rows = 130, .window = window, .extras = {.softcap = 1.5f}});
  }
  for (const Extras& extras : all_extras()) {
    cases.push_back({.shape = {}, .rows = 140, .extras = extras});
    cases.push_back({.shape = {.type = Element::bf16,
                               .key_type = BlockFormat::bf16,
                               .value_type = BlockFormat::bf16,
                               .group = 1,
                               .head_dim = 96},
                     .rows = 75,
                     .window = 65,
                     .extras = extras});
  }
  for (PrefillCase& one : cases) {
    const Shape& shape = one.shape;
    const std::int64_t heads = shape.kv_heads * shape.group;
    const std::int64_t cells = shape.tokens * shape.kv_heads * shape.head_dim;
    const Cache cache(shape, Buffer::random(Element::f32, cells, engine_), Buffer::random(Element::f32, cells, engine_),
                      engine_);
    const Buffer q = Buffer::random(shape.type, one.rows * (heads * (shape.head_dim + 1) + 3), engine_, 2.0f);
    Buffer found(shape.type, one.rows * (heads * (shape.head_dim + 2) + 1), -9.0f);
    Buffer expected = found;
    cpu::PrefillParams params = prefill_params(cache, one, q, found);
    one.extras.apply(params);
    run(kernels(), params, 0, cpu::prefill_items(params));

    reference_prefill(cache, one, params, q, expected);
    expect_close(found, expected, 2 * spacing(shape.type), 5e-6,
                 ::testing::Message() << "rows " << one.rows << " head_dim " << shape.head_dim << " group "
                                      << shape.group << " page " << shape.page_tokens << " window " << one.window << " "
                                      << one.extras);
    if (HasFailure()) return;
  }
}

TEST_P(PrefillAttentionTest, PairsOfBf16StayNear) {
  const bool has_pairs = kernels().gemm_type == Element::bf16;
  std::vector<PrefillCase> cases;
  for (const CacheTypes& types : kCacheTypes) {
    cases.push_back({.shape = {.key_type = types.keys, .value_type = types.values, .head_dim = 64}, .rows = 140});
    cases.push_back(
        {.shape = {.type = Element::bf16, .key_type = types.keys, .value_type = types.values, .head_dim = 96},
         .rows = 139});
  }
  for (const std::int64_t head_dim : {1, 3, 16, 20, 33, 80, 128}) cases.push_back({{.head_dim = head_dim}, 77});
  for (const std::int64_t window : {1, 64, 65}) cases.push_back({.shape = {}, .rows = 130, .window = window});
  for (const Extras& extras : all_extras()) cases.push_back({.shape = {}, .rows = 140, .extras = extras});
  for (PrefillCase& one : cases) {
    const Shape& shape = one.shape;
    const std::int64_t heads = shape.kv_heads * shape.group;
    const std::int64_t cells = shape.tokens * shape.kv_heads * shape.head_dim;
    const Cache cache(shape, Buffer::random(Element::f32, cells, engine_), Buffer::random(Element::f32, cells, engine_),
                      engine_);
    const Buffer q = Buffer::random(shape.type, one.rows * (heads * (shape.head_dim + 1) + 3), engine_, 2.0f);
    Buffer found(shape.type, one.rows * (heads * (shape.head_dim + 2) + 1), -9.0f);
    Buffer expected = found;
    Buffer plain = found;
    cpu::PrefillParams params = prefill_params(cache, one, q, plain);
    one.extras.apply(params);
    run(kernels(), params, 0, cpu::prefill_items(params));
    params.out = found.data();
    params.bf16_products = true;
    run(kernels(), params, 0, cpu::prefill_items(params));
    if (!has_pairs) {
      EXPECT_TRUE(found == plain);
      continue;
    }
    reference_prefill(cache, one, params, q, expected);
    // Scores of some 3 and values up to 1, with operands rounded to 2^-9 of themselves.
    double squares = 0;
    for (std::int64_t i = 0; i < found.size(); ++i) {
      const double difference = static_cast<double>(found.at(i)) - static_cast<double>(expected.at(i));
      ASSERT_LT(std::abs(difference), 0.05) << i;
      squares += difference * difference;
    }
    EXPECT_LT(std::sqrt(squares / static_cast<double>(found.size())), 0.003)
        << "head_dim " << shape.head_dim << " window " << one.window << " " << one.extras;
    EXPECT_FALSE(found == plain);
  }
}

TEST_P(PrefillAttentionTest, InPiecesGivesTheSameBits) {
  for (const auto& [type, pairs] : {std::pair(Element::f32, false), std::pair(Element::bf16, false),
                                    std::pair(Element::f16, false), std::pair(Element::f32, true)}) {
    for (const Extras& extras : all_extras()) {
      PrefillCase whole{.shape = {.type = type,
                                  .key_type = cache_of(type),
                                  .value_type = cache_of(type),
                                  .head_dim = 60,
                                  .tokens = 150},
                        .rows = 150,
                        .window = extras.sinks ? 70 : 0,
                        .extras = extras};
      const std::int64_t cells = 150 * 2 * 60;
      const Cache cache(whole.shape, Buffer::random(type, cells, engine_), Buffer::random(type, cells, engine_),
                        engine_);
      const Buffer q = Buffer::random(type, 150 * (6 * 61 + 3), engine_);
      Buffer together(type, 150 * (6 * 62 + 1));
      Buffer apart = together;
      cpu::PrefillParams params = prefill_params(cache, whole, q, together);
      whole.extras.apply(params);
      params.bf16_products = pairs;
      run(kernels(), params, 0, cpu::prefill_items(params));
      std::int64_t done = 0;
      for (const std::int64_t rows : {1, 31, 64, 54}) {
        cpu::PrefillParams piece = params;
        piece.q = static_cast<const char*>(q.data()) + done * piece.q_row_stride * element_bytes(type);
        piece.out = static_cast<char*>(apart.data()) + done * piece.out_row_stride * element_bytes(type);
        piece.rows = rows;
        done += rows;
        piece.length = done;
        for (std::int64_t item = 0; item < cpu::prefill_items(piece); ++item) run(kernels(), piece, item, item + 1);
      }
      EXPECT_EQ(done, 150);
      EXPECT_TRUE(together == apart) << static_cast<int>(type) << " " << extras;
    }
  }
}

TEST_P(PrefillAttentionTest, ReadsOnlyWhatItsRowsSee) {
  for (const Element type : kElements) {
    const PrefillCase one{.shape = {.type = type,
                                    .key_type = cache_of(type),
                                    .value_type = cache_of(type),
                                    .head_dim = 16,
                                    .page_tokens = 1},
                          .rows = 5,
                          .window = 70};
    const std::int64_t cells = 140 * 2 * 16;
    Cache cache(one.shape, Buffer::random(type, cells, engine_), Buffer::random(type, cells, engine_), engine_);
    const Buffer q = Buffer::random(type, 5 * (6 * 17 + 3), engine_);
    Buffer whole(type, 5 * (6 * 18 + 1));
    Buffer found = whole;
    run(kernels(), prefill_params(cache, one, q, whole), 0, 2);
    for (int position = 0; position < 140 - 5 + 1 - 70; ++position) {  // inside a block, behind every window
      cache.key_pages[position] = nullptr;
      cache.value_pages[position] = nullptr;
    }
    run(kernels(), prefill_params(cache, one, q, found), 0, 2);
    EXPECT_TRUE(found == whole);
  }
}

TEST_P(PrefillAttentionTest, LongSumsDoNotDrift) {
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
  cpu::AttentionParams params = cache.params(&rows[0]);
  params.scale = 0.4f;
  reference::attention(params, 0, 1);
  params.rows = &rows[1];
  std::vector<float> scratch(cpu::attention_scratch_floats(1, 2), NAN);
  kernels().attention(params, 0, 1, scratch.data());
  cpu::PrefillParams prompt = prefill_params(cache, one, q, tiles);
  prompt.scale = 0.4f;
  run(kernels(), prompt, 0, 1);
  expect_close(single, expected, 2e-5, 0, ::testing::Message() << "single");
  expect_close(tiles, expected, 2e-5, 0, ::testing::Message() << "tiles");
}

TEST_P(PrefillAttentionTest, PassesNanOn) {
  for (const Element type : kElements) {
    const PrefillCase one{
        .shape = {.type = type, .key_type = cache_of(type), .value_type = cache_of(type), .head_dim = 15}, .rows = 140};
    const std::int64_t cells = 140 * 2 * 15;
    Buffer k = Buffer::random(type, cells, engine_);
    k.set((17 * 2 + 1) * 15 + 3, NAN);  // position 17, key-value head 1
    const Cache cache(one.shape, k, Buffer::random(type, cells, engine_), engine_);
    const Buffer q(type, 140 * (6 * 16 + 3), 1.0f);
    Buffer out(type, 140 * (6 * 17 + 1));
    const cpu::PrefillParams params = prefill_params(cache, one, q, out);
    run(kernels(), params, 0, cpu::prefill_items(params));
    for (int row = 0; row < 140; ++row) {
      for (int head = 0; head < 6; ++head) {
        EXPECT_EQ(std::isnan(out.at(row * (6 * 17 + 1) + head * 17)), head >= 3 && row >= 17) << row << " " << head;
      }
    }
  }
}

}  // namespace
}  // namespace powerhouse::testing
