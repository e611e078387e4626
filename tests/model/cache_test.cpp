// What the cache remembers is what the whole sequence would have given: token by token, in chunks, on pages of any
// size, within the pass that fills it.
#include <gtest/gtest.h>

#include "fixture.h"
#include "powerhouse/session.h"

namespace powerhouse {
namespace {

using namespace testing;

class Cache : public ::testing::TestWithParam<TinyModel> {
 protected:
  CausalLM model_ = load(GetParam().path);
  Tensors expected_{fixture(GetParam().expected)};
  std::vector<std::int64_t> ids_ = to_vector(expected_["input_ids"].narrow(0, 0, 1));
  at::Tensor logits_ = expected_["single_logits"];

  // All of `ids_` through one sequence in pieces of `sizes`, repeated as often as needed.
  at::Tensor in_pieces(const SessionOptions& options, const std::vector<std::size_t>& sizes) const {
    Session session(model_, options);
    const SequenceId sequence = session.create();
    std::vector<at::Tensor> parts;
    std::size_t done = 0;
    for (std::size_t i = 0; done < ids_.size(); ++i) {
      const std::size_t count = std::min(sizes[i % sizes.size()], ids_.size() - done);
      parts.push_back(session.forward(sequence, std::span(ids_).subspan(done, count), LogitsOf::all));
      done += count;
      EXPECT_EQ(session.length(sequence), static_cast<std::int64_t>(done));
    }
    return concatenate(parts, 0);
  }
};

TEST_P(Cache, InOnePass) { EXPECT_TRUE(close(in_pieces({}, {ids_.size()}), logits_, kSameF32)); }

TEST_P(Cache, TokenByToken) {
  for (const std::int64_t page_tokens : {1, 3, 16, 100}) {
    EXPECT_TRUE(close(in_pieces({.page_tokens = page_tokens}, {1}), logits_, kSameF32)) << "page of " << page_tokens;
  }
}

TEST_P(Cache, InPieces) {
  // Up to 8 rows attend their pages in place, more are gathered: both sides of that, and mixtures.
  for (const auto& sizes : std::vector<std::vector<std::size_t>>{{2}, {8}, {9}, {17, 1, 1}, {1, 12}, {5, 9, 3}}) {
    for (const std::int64_t page_tokens : {4, 16}) {
      EXPECT_TRUE(close(in_pieces({.page_tokens = page_tokens}, sizes), logits_, kSameF32))
          << "pieces of " << sizes[0] << ", pages of " << page_tokens;
    }
  }
}

TEST_P(Cache, InPassesOfBoundedRows) {
  for (const std::int64_t chunk : {1, 7, 16, 39, 40}) {
    EXPECT_TRUE(close(in_pieces({.prefill_chunk = chunk}, {ids_.size()}), logits_, kSameF32)) << chunk;
  }
}

TEST_P(Cache, LogitsOfTheLastRowAndOfNone) {
  Session session(model_);
  const SequenceId sequence = session.create();
  const auto ids = std::span(ids_);
  EXPECT_FALSE(session.forward(sequence, ids.first(11), LogitsOf::none).defined());
  const at::Tensor last = session.forward(sequence, ids.subspan(11, 9));
  EXPECT_FALSE(last.requires_grad());
  EXPECT_TRUE(close(last, logits_.narrow(0, 19, 1), kSameF32));
}

INSTANTIATE_TEST_SUITE_P(Folder, Cache, ::testing::ValuesIn(kTinyFolders), test_name);
INSTANTIATE_TEST_SUITE_P(Gguf, Cache, ::testing::ValuesIn(kTinyGgufs), test_name);

TEST(CacheMemory, IsSharedByForksAndGivenBack) {
  const CausalLM model = load("tiny_gqa");
  Session session(model, {.page_tokens = 1});
  const std::vector<std::int64_t> ids(30, 5);
  const SequenceId first = session.create();
  session.forward(first, ids);
  // Two layers, K and V of two heads of 16 in float32, a token a page.
  EXPECT_GE(session.cache_bytes(), 30u * 2 * 2 * 2 * 16 * 4);
  EXPECT_EQ(session.cache_bytes_per_token(), 2u * 2 * 2 * 16 * 4);
  const std::size_t one = session.cache_bytes();
  std::vector<SequenceId> forks;
  for (int i = 0; i < 50; ++i) forks.push_back(session.fork(first));
  EXPECT_EQ(session.cache_bytes(), one) << "forks must share their pages";
  for (const SequenceId fork : forks) session.remove(fork);
  for (int i = 0; i < 50; ++i) {
    const SequenceId again = session.create();
    session.forward(again, std::span(ids).first(2));
    session.remove(again);
  }
  EXPECT_EQ(session.cache_bytes(), one) << "pages must be given back";
}

TEST(CacheMemory, HalvesInAHalfType) {
  const CausalLM model = load("tiny_gqa");
  const std::vector<std::int64_t> ids(30, 5);
  const auto bytes = [&](KvType type) {
    Session session(model, {.kv_type = type});
    session.forward(session.create(), ids);
    return session.cache_bytes();
  };
  EXPECT_EQ(bytes(KvType::f32), 2 * bytes(KvType::bf16));
  EXPECT_EQ(bytes(KvType::f32), 2 * bytes(KvType::f16));
  EXPECT_EQ(bytes(KvType::f32), bytes(KvType::automatic));
}

}  // namespace
}  // namespace powerhouse
