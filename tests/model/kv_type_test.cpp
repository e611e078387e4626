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
  at::Tensor decode(KvType type, std::int64_t page_tokens = 16) const {
    Session session(model_, {.kv_type = type, .page_tokens = page_tokens});
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
  // Roundings of 2^-12, 2^-9, 1/254 and 1/16 of the largest element; attention adds up many of them.
  for (const Case& one : {Case{KvType::f16, 1e-6, 2e-3},
                          {KvType::bf16, 1e-5, 1.5e-2},
                          {KvType::q8_0, 1e-4, 2e-2},
                          {KvType::q4_0, 2e-3, 0.3}}) {
    const double found = error(decode(one.type), exact);
    EXPECT_LT(found, one.most) << to_string(one.type);
    EXPECT_GT(found, one.least) << to_string(one.type);
  }
}

TEST_P(KvTypes, DoNotDependOnThePage) {
  for (const KvType type : {KvType::q8_0, KvType::q4_0}) {
    EXPECT_TRUE(decode(type, 3).equal(decode(type))) << to_string(type);
  }
}

TEST_P(KvTypes, ForksAndCutsAreTheSequenceItself) {
  for (const KvType type : {KvType::f16, KvType::q8_0, KvType::q4_0}) {
    Session session(model_, {.kv_type = type, .page_tokens = 4});
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
  const auto bytes = [&](KvType type) {
    Session session(model_, {.kv_type = type});
    session.forward(session.create(), ids_);
    return session.cache_bytes();
  };
  const std::size_t whole = bytes(KvType::f32);
  EXPECT_EQ(bytes(KvType::q8_0) * 128, whole * 34);
  EXPECT_EQ(bytes(KvType::q4_0) * 128, whole * 18);
}

INSTANTIATE_TEST_SUITE_P(Tiny, KvTypes, ::testing::Values("tiny_blocks", "tiny_blocks_q8_0.gguf"),
                         [](const auto& info) { return info.index == 0 ? "decoder" : "plan"; });

TEST(KvType, NeedsHeadsOfWholeBlocks) {
  const CausalLM model = load("tiny_gqa");  // heads of 16
  for (const KvType type : {KvType::q8_0, KvType::q4_0}) {
    expect_error(ErrorKind::unsupported, "multiple of 32", [&] { Session(model, {.kv_type = type}); });
  }
}

TEST(KvType, HasNames) {
  for (const KvType type : {KvType::automatic, KvType::f32, KvType::bf16, KvType::f16, KvType::q8_0, KvType::q4_0}) {
    EXPECT_EQ(parse_kv_type(to_string(type)), type);
  }
  EXPECT_EQ(parse_kv_type("float16"), KvType::f16);
  expect_error(ErrorKind::usage, "q8_0 or q4_0", [] { parse_kv_type("q5_0"); });
}

// What autograd and rules that our kernels don't know see of the cache.
TEST(KvType, GathersWhatItWrote) {
  for (const BlockFormat type :
       {BlockFormat::f32, BlockFormat::bf16, BlockFormat::f16, BlockFormat::q8_0, BlockFormat::q4_0}) {
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
