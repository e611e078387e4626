// Sequences on pages: forks, cuts, batches and threads all give what a fresh run gives.
#include "powerhouse/session.h"

#include <gtest/gtest.h>

#include <thread>

#include "expect_error.h"
#include "fixture.h"
#include "model/kv_cache.h"

namespace powerhouse {
namespace {

using testing::expect_error;
using testing::fixture;
using testing::load;
using testing::relative_error;

using Ids = std::vector<std::int64_t>;

Ids seeded_ids(std::int64_t count, std::int64_t seed) {
  Ids ids;
  for (std::int64_t i = 0; i < count; ++i) ids.push_back((i * 31 + seed * 17 + 5) % 97);
  return ids;
}

at::Tensor fresh(const CausalLM& model, const Ids& ids) {
  Session session(model);
  return session.forward(session.create(), ids);
}

Ids joined(Ids a, const Ids& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST(Session, ForksGoTheirOwnWays) {
  const CausalLM model = load("tiny_gqa");
  Session session(model, {.page_tokens = 4});
  const SequenceId first = session.create();
  session.forward(first, seeded_ids(10, 1));
  const SequenceId second = session.fork(first);
  const SequenceId third = session.fork(second);
  const at::Tensor a = session.forward(first, seeded_ids(3, 2));
  const at::Tensor b = session.forward(second, seeded_ids(5, 3));
  const at::Tensor c = session.forward(third, seeded_ids(1, 4));
  EXPECT_LT(relative_error(a, fresh(model, joined(seeded_ids(10, 1), seeded_ids(3, 2)))), 1e-5);
  EXPECT_LT(relative_error(b, fresh(model, joined(seeded_ids(10, 1), seeded_ids(5, 3)))), 1e-5);
  EXPECT_LT(relative_error(c, fresh(model, joined(seeded_ids(10, 1), seeded_ids(1, 4)))), 1e-5);
  session.remove(first);
  EXPECT_LT(relative_error(session.forward(second, seeded_ids(2, 5)),
                           fresh(model, joined(joined(seeded_ids(10, 1), seeded_ids(5, 3)), seeded_ids(2, 5)))),
            1e-5);
}

TEST(Session, ForgetsWhatIsCut) {
  const CausalLM model = load("tiny_gqa");
  Session session(model, {.page_tokens = 4});
  const SequenceId sequence = session.create();
  session.forward(sequence, seeded_ids(23, 1));
  for (const std::int64_t kept : {17, 16, 9, 0}) {
    session.truncate(sequence, kept);
    EXPECT_EQ(session.length(sequence), kept);
    Ids prefix = seeded_ids(23, 1);
    prefix.resize(static_cast<std::size_t>(kept));
    EXPECT_LT(
        relative_error(session.forward(sequence, seeded_ids(3, 9)), fresh(model, joined(prefix, seeded_ids(3, 9)))),
        1e-5);
    session.truncate(sequence, kept);
  }
}

TEST(Session, ABatchGivesWhatEachGivesAlone) {
  const CausalLM model = load("tiny_gqa");
  for (const std::int64_t chunk : {3, 16, 512}) {
    Session session(model, {.page_tokens = 4, .prefill_chunk = chunk});
    const std::vector<Ids> prompts = {seeded_ids(1, 1), seeded_ids(20, 2), seeded_ids(7, 3), seeded_ids(12, 4)};
    std::vector<SequenceInput> batch;
    for (const Ids& prompt : prompts) batch.push_back({session.create(), prompt});
    batch[2].logits = LogitsOf::none;
    batch[3].logits = LogitsOf::all;
    const at::Tensor logits = session.forward(batch);
    ASSERT_EQ(logits.size(0), 1 + 1 + 0 + 12);
    EXPECT_LT(relative_error(logits.narrow(0, 0, 1), fresh(model, prompts[0])), 1e-5);
    EXPECT_LT(relative_error(logits.narrow(0, 1, 1), fresh(model, prompts[1])), 1e-5);
    EXPECT_LT(relative_error(logits.narrow(0, 13, 1), fresh(model, prompts[3])), 1e-5);
    // Decoding: one token each, in one pass.
    const Ids next = {5, 6, 7, 8};
    std::vector<SequenceInput> step;
    for (std::size_t i = 0; i < 4; ++i) step.push_back({batch[i].sequence, std::span(&next[i], 1)});
    const at::Tensor decoded = session.forward(step);
    for (std::size_t i = 0; i < 4; ++i) {
      EXPECT_LT(relative_error(decoded.narrow(0, static_cast<std::int64_t>(i), 1),
                               fresh(model, joined(prompts[i], {next[i]}))),
                1e-5);
    }
  }
}

TEST(Session, PiecesOfAPromptAreTheSameInABatch) {
  using Pass = std::vector<std::int64_t>;  // rows of each sequence
  CausalLM model = load("tiny_gqa");
  std::vector<Pass> seen;
  model.add_hook({HookPoint::embeddings}, [&](const at::Tensor&, const HookContext& context) {
    Pass pass;
    for (std::size_t i = 1; i < context.cu_seqlens.size(); ++i) {
      pass.push_back(context.cu_seqlens[i] - context.cu_seqlens[i - 1]);
    }
    seen.push_back(pass);
    return at::Tensor();
  });
  const auto passes = [&](const std::vector<std::size_t>& lengths) {
    Session session(model, {.prefill_chunk = 16});
    const Ids ids = seeded_ids(60, 1);
    std::vector<SequenceInput> batch;
    for (const std::size_t length : lengths) batch.push_back({session.create(), std::span(ids).first(length)});
    seen.clear();
    EXPECT_EQ(session.forward(batch).size(0), static_cast<std::int64_t>(lengths.size()));
    return seen;
  };
  EXPECT_EQ(passes({40}), (std::vector<Pass>{{16}, {16}, {8}}));
  EXPECT_EQ(passes({20, 7, 12, 1}), (std::vector<Pass>{{16}, {4, 7}, {12, 1}}));  // 12 wait where there is room for 5
  EXPECT_EQ(passes({1, 1, 33, 1}), (std::vector<Pass>{{1, 1, 16}, {16}, {1, 1}}));
}

TEST(Session, KeepsItsCacheInTheTypeAskedFor) {
  const CausalLM model = load("tiny_gqa");
  const at::Tensor exact = fresh(model, seeded_ids(30, 1));
  for (const KvType type : {KvType::bf16, KvType::f16}) {
    Session session(model, {.kv_type = type});
    const SequenceId sequence = session.create();
    const Ids ids = seeded_ids(30, 1);
    session.forward(sequence, std::span(ids).first(29));
    const double error = relative_error(session.forward(sequence, std::span(ids).last(1)), exact);
    EXPECT_LT(error, type == KvType::bf16 ? 0.1 : 0.02);
    EXPECT_GT(error, 0.0);
  }
}

TEST(Session, GivesTheSameOnOneThreadAndTwo) {
  const CausalLM model = load("tiny_gqa");
  const int before = threads();
  set_threads(1);
  const at::Tensor one = fresh(model, seeded_ids(30, 1));
  set_threads(2);
  const at::Tensor two = fresh(model, seeded_ids(30, 1));
  set_threads(before);
  EXPECT_LT(relative_error(one, two), 1e-5);
}

TEST(Session, KeepsAModelThatMovesOrEnds) {
  const at::Tensor expected = fresh(load("tiny_gqa"), seeded_ids(9, 1));
  auto model = std::make_unique<CausalLM>(load("tiny_gqa"));
  Session session(*model);
  CausalLM elsewhere = std::move(*model);
  model.reset();
  EXPECT_TRUE(session.forward(session.create(), seeded_ids(9, 1)).equal(expected));
  elsewhere = load("tiny_gqa");
  EXPECT_TRUE(session.forward(session.create(), seeded_ids(9, 1)).equal(expected));
  EXPECT_EQ(session.model().config().vocab_size, 97);
}

TEST(Session, SessionsOfOneModelRunInParallel) {
  const CausalLM model = load("tiny_gqa");
  const at::Tensor expected = fresh(model, seeded_ids(25, 1));
  std::vector<double> errors(4, 1.0);
  std::vector<std::thread> workers;
  for (std::size_t i = 0; i < errors.size(); ++i) {
    workers.emplace_back([&, i] {
      Session session(model);
      const SequenceId sequence = session.create();
      const Ids ids = seeded_ids(25, 1);
      at::Tensor last;
      for (const std::int64_t& id : ids) last = session.forward(sequence, std::span(&id, 1));
      errors[i] = relative_error(last, expected);
    });
  }
  for (std::thread& worker : workers) worker.join();
  for (const double error : errors) EXPECT_LT(error, 1e-5);
}

TEST(Session, RefusesBadInputAndStaysAsItWas) {
  const CausalLM model = load("tiny_gqa");
  Session session(model);
  const SequenceId sequence = session.create();
  session.forward(sequence, seeded_ids(5, 1));
  const auto try_ids = [&](const Ids& ids) { session.forward(sequence, ids); };
  expect_error(ErrorKind::range, "97", [&] { try_ids({97}); });
  expect_error(ErrorKind::range, "-1", [&] { try_ids({3, -1}); });
  expect_error(ErrorKind::range, "64", [&] { try_ids(seeded_ids(60, 1)); });
  expect_error(ErrorKind::usage, "at least one token", [&] { try_ids({}); });
  expect_error(ErrorKind::not_found, "12345", [&] { session.forward(12345, seeded_ids(1, 1)); });
  expect_error(ErrorKind::range, "length", [&] { session.truncate(sequence, 6); });
  expect_error(ErrorKind::range, "length", [&] { session.truncate(sequence, -1); });
  expect_error(ErrorKind::range, "page_tokens", [&] { Session(model, {.page_tokens = 0}); });
  const Ids one = {1};
  const SequenceInput twice[] = {{sequence, one}, {sequence, one}};
  expect_error(ErrorKind::usage, "twice", [&] { session.forward(twice); });
  EXPECT_EQ(session.length(sequence), 5);
  EXPECT_LT(relative_error(session.forward(sequence, seeded_ids(2, 2)),
                           fresh(model, joined(seeded_ids(5, 1), seeded_ids(2, 2)))),
            1e-5);
}

TEST(KvCache, SharesPagesUntilSomeoneWrites) {
  KvCache cache({{1, 2}}, BlockFormat::f32, 4);
  const auto first = cache.create();
  cache.reserve(first, 10);
  cache.commit(first, 10);
  EXPECT_EQ(cache.used_pages(), 3);
  const auto second = cache.fork(first);
  EXPECT_EQ(cache.used_pages(), 3);
  cache.reserve(second, 1);  // the last page is half full and shared: copied
  EXPECT_EQ(cache.used_pages(), 4);
  cache.rollback(second);
  cache.remove(first);
  EXPECT_EQ(cache.used_pages(), 3);
  cache.remove(second);
  EXPECT_EQ(cache.used_pages(), 0);
}

}  // namespace
}  // namespace powerhouse
