// The cache in every type: how far from the exact one, what it weighs, forks and cuts, and models that can't have it.
#include <gtest/gtest.h>

#include "expect_error.h"
#include "fixture.h"
#include "kernels/reference/cache.h"
#include "model/causal_lm_impl.h"
#include "model/kv_cache.h"
#include "powerhouse/error.h"
#include "powerhouse/session.h"

namespace powerhouse {
namespace {

using namespace testing;

// Heads of 32; the second runs by a plan.
class KvTypes : public ::testing::TestWithParam<const char*> {
 protected:
  CausalLM model_ = load(GetParam(), Dtype::automatic);
  std::vector<std::int64_t> ids_ = {3, 14, 15, 9, 26, 5, 35, 8, 9, 7, 9, 3, 23, 8, 4, 6, 26, 4, 33, 8};

  // The last six rows' logits: a prompt, then token by token.
  at::Tensor decode(KvType type, std::int64_t page_tokens = 16, std::optional<KvType> value_type = {}) const {
    Session session(model_, {.kv_type = type, .value_type = value_type, .page_tokens = page_tokens});
    const SequenceId sequence = session.create();
    session.forward(sequence, std::span(ids_).first(14), LogitsOf::none);
    std::vector<at::Tensor> rows;
    for (std::size_t i = 14; i < ids_.size(); ++i) {
      rows.push_back(session.forward(sequence, std::span(ids_).subspan(i, 1)));
    }
    return concatenate(rows, 0);
  }
  // Root mean square of the difference, in standard deviations of the logits.
  static double error(const at::Tensor& found, const at::Tensor& expected) {
    return found.sub(expected).square().mean().sqrt().item<double>() / expected.std().item<double>();
  }
};

TEST_P(KvTypes, CostWhatTheirRoundingSays) {
  const at::Tensor exact = decode(KvType::f32);
  struct Case {
    KvType type;
    double least, most;
  };
  // Roundings of 2^-12, 2^-9, 1/254, 1/62, 1/32, 1/30 and 1/16 of the largest element; attention adds up many of them.
  for (const Case& one : {Case{KvType::f16, 1e-6, 2e-3},
                          {KvType::bf16, 1e-5, 1.5e-2},
                          {KvType::q8_0, 1e-4, 2e-2},
                          {KvType::q5_1, 1e-3, 0.15},
                          {KvType::q5_0, 1e-3, 0.15},
                          {KvType::q4_1, 2e-3, 0.3},
                          {KvType::q4_0, 2e-3, 0.3},
                          {KvType::iq4_nl, 2e-3, 0.3}}) {
    const double found = error(decode(one.type), exact);
    EXPECT_LT(found, one.most) << to_string(one.type);
    EXPECT_GT(found, one.least) << to_string(one.type);
  }
}

TEST_P(KvTypes, DoNotDependOnThePage) {
  for (const KvType type : {KvType::q8_0, KvType::q4_0, KvType::iq4_nl}) {
    EXPECT_TRUE(decode(type, 3).equal(decode(type))) << to_string(type);
    EXPECT_TRUE(decode(KvType::f16, 3, type).equal(decode(KvType::f16, 16, type))) << to_string(type);
  }
}

// Every pair is a cache of its own, whose error is about that of the worse of the two.
TEST_P(KvTypes, AreOfKeysAndOfValuesApart) {
  const at::Tensor exact = decode(KvType::f32);
  const KvType types[] = {KvType::f32, KvType::bf16, KvType::q8_0, KvType::q5_1, KvType::q4_0};
  for (const KvType keys : types) {
    for (const KvType values : types) {
      const at::Tensor found = decode(keys, 16, values);
      const double alone = std::max(error(decode(keys), exact), error(decode(values), exact));
      EXPECT_LE(error(found, exact), 1.5 * alone + 1e-6) << to_string(keys) << " " << to_string(values);
      if (keys == values) continue;
      EXPECT_FALSE(found.equal(decode(keys))) << to_string(keys) << " " << to_string(values);
      EXPECT_FALSE(found.equal(decode(values))) << to_string(keys) << " " << to_string(values);
    }
  }
}

TEST_P(KvTypes, ForksAndCutsAreTheSequenceItself) {
  for (const KvType type : {KvType::f16, KvType::q8_0, KvType::q4_0}) {
    Session session(model_, {.kv_type = type, .value_type = KvType::q5_0, .page_tokens = 4});
    const std::span<const std::int64_t> all(ids_);
    const SequenceId first = session.create();
    session.forward(first, all.first(10), LogitsOf::none);
    const SequenceId second = session.fork(first);
    session.forward(second, all.subspan(3, 5), LogitsOf::none);  // writes to its own copy of the shared page
    session.truncate(second, 10);
    const at::Tensor forked = session.forward(second, all.subspan(10, 1));
    EXPECT_TRUE(forked.equal(session.forward(first, all.subspan(10, 1)))) << to_string(type);
  }
}

TEST_P(KvTypes, WeighWhatTheirBlocksSay) {
  const auto bytes = [&](KvType type, std::optional<KvType> value_type = {}) {
    Session session(model_, {.kv_type = type, .value_type = value_type});
    session.forward(session.create(), ids_);
    return session.cache_bytes();
  };
  const std::size_t whole = bytes(KvType::f32);
  EXPECT_EQ(bytes(KvType::q8_0) * 128, whole * 34);
  EXPECT_EQ(bytes(KvType::q4_0) * 128, whole * 18);
  EXPECT_EQ(bytes(KvType::q5_1) * 128, whole * 24);
  EXPECT_EQ(bytes(KvType::q8_0, KvType::q4_0) * 128, whole * (34 + 18) / 2);
  EXPECT_EQ(bytes(KvType::f32, KvType::iq4_nl) * 128, whole * (128 + 18) / 2);
}

INSTANTIATE_TEST_SUITE_P(Tiny, KvTypes, ::testing::Values("tiny_blocks", "tiny_blocks_q8_0.gguf"),
                         [](const auto& info) { return info.index == 0 ? "decoder" : "plan"; });

TEST(KvType, NeedsHeadsOfWholeBlocks) {
  const CausalLM model = load("tiny_gqa");  // heads of 16
  for (const KvType type : {KvType::q8_0, KvType::q4_0, KvType::q5_1}) {
    expect_error(ErrorKind::unsupported, "multiple of 32", [&] { Session(model, {.kv_type = type}); });
    expect_error(ErrorKind::unsupported, "multiple of 32", [&] { Session(model, {.value_type = type}); });
  }
}

TEST(KvType, HasNames) {
  for (const KvType type : {KvType::automatic, KvType::f32, KvType::bf16, KvType::f16, KvType::q8_0, KvType::q5_1,
                            KvType::q5_0, KvType::q4_1, KvType::q4_0, KvType::iq4_nl}) {
    EXPECT_EQ(parse_kv_type(to_string(type)), type);
  }
  EXPECT_EQ(parse_kv_type("float16"), KvType::f16);
  expect_error(ErrorKind::usage, "q4_0 or iq4_nl", [] { parse_kv_type("q6_k"); });
}

// What autograd and rules that our kernels don't know see of the cache.
TEST(KvType, GathersWhatItWrote) {
  for (const BlockFormat type :
       {BlockFormat::f32, BlockFormat::bf16, BlockFormat::f16, BlockFormat::q8_0, BlockFormat::q4_0, BlockFormat::q4_1,
        BlockFormat::q5_0, BlockFormat::q5_1, BlockFormat::iq4_nl}) {
    KvCache cache({{2, 32}}, type, 3);
    const auto sequence = cache.create();
    at::Tensor rows = empty_tensor({7, 2, 32}, at::kFloat);
    for (std::int64_t i = 0; i < rows.numel(); ++i) {
      rows.mutable_data_ptr<float>()[i] = static_cast<float>((i * 7919 + 13) % 1000 - 500) / 100.0f;
    }
    cache.reserve(sequence, 7);
    cache.write(0, sequence, rows, rows.neg());
    cache.commit(sequence, 7);
    const auto [key, value] = cache.gather(0, sequence, 7, at::kFloat);
    std::vector<std::uint8_t> cells(static_cast<std::size_t>(cpu::cache_bytes(type, rows.numel())));
    const at::Tensor negative = rows.neg();
    for (const bool second : {false, true}) {
      const at::Tensor& given = second ? negative : rows;
      const at::Tensor found = (second ? value : key).contiguous();
      reference::store_cache({.cache_type = type, .source = given.const_data_ptr(), .destination = cells.data()}, 0,
                             given.numel());
      for (std::int64_t i = 0; i < found.numel(); ++i) {
        ASSERT_EQ(found.const_data_ptr<float>()[i], reference::read_cell(cells.data(), type, i))
            << block_info(type).name << " " << i;
      }
    }
  }
}

}  // namespace
}  // namespace powerhouse
