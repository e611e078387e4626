// Plans of quantized weights: near the float32 decoder, and the same bits for any batch, split and number of threads.
// That a plan's steps are the decoder's is the matter of families_test.cpp.
#include <gtest/gtest.h>

#include "fixture.h"
#include "model/causal_lm_impl.h"
#include "powerhouse/session.h"
#include "support/thread_team.h"

namespace powerhouse {
namespace {

using namespace testing;

class QuantizedPlan : public ::testing::TestWithParam<const char*> {
 protected:
  CausalLM model_ = load(GetParam(), Dtype::automatic);
  std::vector<std::int64_t> ids_ = {3, 14, 15, 9, 26, 5, 35, 8, 9, 7, 9, 3, 23, 8, 4, 6, 26, 4, 33, 8};
};

TEST_P(QuantizedPlan, StaysCloseToFloat32) {
  ASSERT_NE(model_.impl().model->plan, nullptr);
  const CausalLM exact = load(GetParam());
  ASSERT_EQ(exact.impl().model->plan, nullptr);
  Session session(model_);
  const at::Tensor expected = exact.forward(to_tensor(ids_))[0];
  const at::Tensor found = session.forward(session.create(), ids_, LogitsOf::all);
  // Codes of 15 bits are wrong by some 1e-5 of a row, keys and values in float16 by 3e-4 of each.
  const double error = found.sub(expected).square().mean().sqrt().item<double>();
  EXPECT_LT(error / expected.std().item<double>(), 0.001);
  EXPECT_FALSE(found.equal(expected));
}

TEST_P(QuantizedPlan, BitsDoNotDependOnTheBatch) {
  Session session(model_);
  const SequenceId whole = session.create();
  const SequenceId steps = session.create();
  const std::span<const std::int64_t> all(ids_);
  const at::Tensor together = session.forward(whole, all.first(3), LogitsOf::all);
  for (std::size_t i = 0; i < 3; ++i) {
    const at::Tensor alone = session.forward(steps, all.subspan(i, 1));
    EXPECT_TRUE(alone[0].equal(together[static_cast<std::int64_t>(i)])) << i;
  }
  std::vector<SequenceInput> batch;
  for (int i = 0; i < 9; ++i) batch.push_back({.sequence = session.fork(whole), .ids = all.subspan(3, 1)});
  const at::Tensor rows = session.forward(batch);
  const at::Tensor alone = session.forward(steps, all.subspan(3, 1));
  for (std::int64_t i = 0; i < 9; ++i) EXPECT_TRUE(rows[i].equal(alone[0])) << i;
}

TEST_P(QuantizedPlan, BitsDoNotDependOnTheThreads) {
  const int threads = team_threads();
  const auto run = [&](int count) {
    set_team_threads(count);
    Session session(model_);
    const SequenceId sequence = session.create();
    session.forward(sequence, std::span(ids_).first(18), LogitsOf::none);
    return session.forward(sequence, std::span(ids_).subspan(18), LogitsOf::all);
  };
  const at::Tensor one = run(1);
  for (const int count : {2, 3, 5}) EXPECT_TRUE(run(count).equal(one)) << count;
  set_team_threads(threads);
}

TEST_P(QuantizedPlan, EndsWhereParametersAreHandedOut) {
  const CausalLM dense = load(GetParam(), Dtype::bf16);
  model_.named_parameters();
  EXPECT_EQ(model_.impl().model->plan, nullptr);
  Session session(model_);
  Session dense_session(dense);
  EXPECT_TRUE(session.forward(session.create(), ids_).equal(dense_session.forward(dense_session.create(), ids_)));
}

INSTANTIATE_TEST_SUITE_P(Tiny, QuantizedPlan, ::testing::Values("tiny_blocks_q8_0.gguf", "tiny_blocks_q4_0.gguf"),
                         [](const auto& info) { return std::string(info.param).substr(12, 4); });

}  // namespace
}  // namespace powerhouse
