// The real model against transformers (tests/oracles/smollm2.py).
#include <gtest/gtest.h>

#include <cmath>

#include "fixture.h"
#include "json_numbers.h"
#include "powerhouse/session.h"
#include "support/json.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using testing::fixture;
using testing::kLogitsTolerance;
using testing::real_model;
using testing::Tensors;
using testing::to_vector;

// The largest deviation from the stored numbers at any position, in standard deviations of that position's logits.
double deviation(const at::Tensor& logits, const Tensors& want) {
  const at::Tensor std = want["std"].unsqueeze(1);
  const at::Tensor sampled = logits.index_select(1, want["sample_ids"]).sub(want["sample_values"]).abs().div(std);
  const at::Tensor top = logits.gather(1, want["top_ids"]).sub(want["top_values"]).abs().div(std);
  const at::Tensor mean = logits.mean(-1).sub(want["mean"]).abs().div(want["std"]);
  const at::Tensor sum = logits.logsumexp(-1).sub(want["logsumexp"]).abs().div(want["std"]);
  return std::max(
      {sampled.max().item<double>(), top.max().item<double>(), mean.max().item<double>(), sum.max().item<double>()});
}

class SmolLM2 : public ::testing::Test {
 protected:
  void SetUp() override { POWERHOUSE_NEEDS_REAL_MODEL(); }
};

TEST_F(SmolLM2, GivesTransformersLogitsFromGgufAndFolderCachedAndNot) {
  const CausalLM model = CausalLM::from_pretrained(real_model(), {.dtype = Dtype::f32});
  const Tensors want(fixture("smollm2_logits.safetensors"));
  const auto ids = to_vector(want["ids"]);
  ASSERT_EQ(ids.size(), 64u);
  const at::Tensor whole = model.forward(testing::to_tensor(ids)).select(0, 0);
  EXPECT_LT(deviation(whole, want), kLogitsTolerance);
  EXPECT_TRUE(whole.argmax(-1).equal(want["top_ids"].select(1, 0)));

  Session session(model);
  const SequenceId sequence = session.create();
  const at::Tensor prompt = session.forward(sequence, std::span(ids).first(20), LogitsOf::all);
  EXPECT_LT(testing::relative_error(prompt, whole.narrow(0, 0, 20)), kLogitsTolerance);
  for (std::size_t i = 20; i < ids.size(); ++i) {
    const at::Tensor next = session.forward(sequence, std::span(ids).subspan(i, 1));
    ASSERT_LT(testing::relative_error(next, whole.narrow(0, static_cast<std::int64_t>(i), 1)), kLogitsTolerance) << i;
  }

  const testing::TemporaryFolder folder;
  model.save_pretrained(folder.file("saved"));
  const CausalLM saved = CausalLM::from_pretrained(folder.file("saved"), {.dtype = Dtype::f32});
  EXPECT_TRUE(saved.forward(testing::to_tensor(ids)).select(0, 0).equal(whole));
}

// Long rows are attended in parts: the same bits whoever shares them, and near the float32 decoder. Passes of four rows
// attend row by row, prompts too.
TEST_F(SmolLM2, AttendsLongContextsInParts) {
  const CausalLM model = CausalLM::from_pretrained(real_model(), {.dtype = Dtype::automatic});
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < 701; ++i) ids.push_back((i * 7919 + 13) % 40000);
  const auto decode = [&](int count, int batch, KvType type) {
    const int before = threads();
    set_threads(count);
    Session session(model, {.kv_type = type, .prefill_chunk = 4});
    const SequenceId first = session.create();
    session.forward(first, std::span(ids).first(700), LogitsOf::none);
    std::vector<SequenceInput> inputs;
    for (int i = 0; i < batch; ++i) {
      inputs.push_back({i == 0 ? first : session.fork(first), std::span(ids).subspan(700, 1)});
    }
    const at::Tensor logits = session.forward(inputs);
    set_threads(before);
    return logits;
  };
  const CausalLM exact = CausalLM::from_pretrained(real_model(), {.dtype = Dtype::f32});
  Session session(exact);
  const at::Tensor expected = session.forward(session.create(), ids);
  for (const auto& [type, most] : {std::pair(KvType::f16, 5e-3), std::pair(KvType::q8_0, 5e-2)}) {
    const at::Tensor alone = decode(2, 1, type);
    EXPECT_LT(testing::relative_error(alone, expected), most) << to_string(type);
    for (const int count : {1, 3}) EXPECT_TRUE(decode(count, 1, type).equal(alone)) << to_string(type) << count;
    const at::Tensor together = decode(2, 4, type);
    for (std::int64_t i = 0; i < 4; ++i) EXPECT_TRUE(together[i].equal(alone[0])) << to_string(type) << i;
  }
}

// What a sampler computes token by token beside others is what a trainer computes at once, with gradients.
TEST_F(SmolLM2, GivesTheSameBitsInExactNumerics) {
  const Tensors want(fixture("smollm2_logits.safetensors"));
  auto ids = to_vector(want["ids"]);
  ids.insert(ids.end(), ids.begin(), ids.begin() + 16);
  const auto by_session = [&](const CausalLM& model, std::size_t piece, std::size_t sequences) {
    Session session(model);
    std::vector<SequenceId> all;
    for (std::size_t i = 0; i < sequences; ++i) all.push_back(session.create());
    std::vector<at::Tensor> parts;
    for (std::size_t at = 0; at < ids.size(); at += piece) {
      const auto rows = std::span(ids).subspan(at, std::min(piece, ids.size() - at));
      std::vector<SequenceInput> batch = {{.sequence = all[0], .ids = rows, .logits = LogitsOf::all}};
      for (std::size_t i = 1; i < sequences; ++i) batch.push_back({.sequence = all[i], .ids = rows.first(1)});
      parts.push_back(session.forward(batch).narrow(0, 0, static_cast<std::int64_t>(rows.size())));
    }
    return concatenate(parts, 0);
  };
  // The second of two rows, padded on the left.
  const auto by_forward = [&](const CausalLM& model) {
    const auto length = static_cast<std::int64_t>(ids.size());
    const at::Tensor row = testing::to_tensor(ids);
    const at::Tensor both = row.new_zeros({2, length + 9});
    both[0].narrow(0, 0, length).copy_(row[0]);
    both[1].narrow(0, 9, length).copy_(row[0]);
    const at::Tensor mask = row.new_ones(both.sizes());
    mask[1].narrow(0, 0, 9).fill_(0);
    return model.forward(both, mask)[1].narrow(0, 9, length);
  };
  CausalLM model = CausalLM::from_pretrained(real_model(), {.numerics = Numerics::exact});
  const at::Tensor whole = by_session(model, ids.size(), 1);
  EXPECT_LT(deviation(whole.narrow(0, 0, 64), want), 1e-2);  // by codes of 15 bits
  EXPECT_TRUE(by_session(model, 1, 1).equal(whole));
  EXPECT_TRUE(by_session(model, 40, 8).equal(whole));
  EXPECT_TRUE(by_forward(model).equal(whole));
  const int before = threads();
  for (const int count : {1, 3}) {
    set_threads(count);
    EXPECT_TRUE(by_session(model, 40, 8).equal(whole)) << count;
    EXPECT_TRUE(by_forward(model).equal(whole)) << count;
  }
  set_threads(before);
  const CausalLM fast = CausalLM::from_pretrained(real_model());
  EXPECT_FALSE(by_session(fast, ids.size(), 1).equal(by_session(fast, 1, 1)));

  model.set_requires_grad(true);
  const at::Tensor trained = by_forward(model);
  ASSERT_TRUE(trained.requires_grad());
  EXPECT_LT(deviation(trained.detach().narrow(0, 0, 64), want), kLogitsTolerance);
  const at::Tensor sampled = by_session(model, 40, 3);
  EXPECT_TRUE(sampled.equal(trained.detach()));
  const at::Tensor log_probabilities = trained.detach().log_softmax(-1);
  for (std::int64_t i = 0; i < sampled.size(0); ++i) {
    ASSERT_TRUE(sampled[i].log_softmax(-1).equal(log_probabilities[i])) << i;
  }
  trained.log_softmax(-1).select(1, 5).sum().backward();
  EXPECT_TRUE(model.parameter("model.norm.weight").grad().defined());
}

struct GreedyCase {
  std::string prompt;
  std::vector<std::int64_t> prompt_ids;
  std::vector<std::int64_t> ids;
  std::vector<double> gaps;
};

std::vector<GreedyCase> greedy_cases() {
  std::vector<GreedyCase> cases;
  const Json file = Json::parse_file(fixture("smollm2_greedy.json"));
  for (const Json& item : file.as_array()) {
    GreedyCase one{.prompt = item.at("prompt").as_string(),
                   .prompt_ids = testing::integers(item.at("prompt_ids")),
                   .ids = testing::integers(item.at("ids"))};
    for (const Json& gap : item.at("gaps").as_array()) one.gaps.push_back(gap.as_double());
    cases.push_back(std::move(one));
  }
  return cases;
}

// Whether `logits` choose step i of the case; where they do not, how near a tie transformers was there.
::testing::AssertionResult chooses(const GreedyCase& one, std::size_t i, const at::Tensor& logits) {
  const auto best = logits.argmax(-1).item<std::int64_t>();
  if (best == one.ids[i]) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "token " << i << " of \"" << one.prompt << "\" is " << best << " instead of "
                                       << one.ids[i] << "; transformers' two best logits are " << one.gaps[i]
                                       << " apart there" << (one.gaps[i] < 1e-3 ? ", a near tie" : "");
}

// A test a prompt, so that each has ctest's whole time limit.
class SmolLM2Greedy : public ::testing::TestWithParam<std::size_t> {
 protected:
  void SetUp() override { POWERHOUSE_NEEDS_REAL_MODEL(); }
};

TEST_P(SmolLM2Greedy, ContinuesAsTransformersDoes) {
  const CausalLM model = CausalLM::from_pretrained(real_model(), {.dtype = Dtype::f32});
  const GreedyCase one = greedy_cases().at(GetParam());
  ASSERT_EQ(one.ids.size(), 64u);
  Session session(model);
  const SequenceId sequence = session.create();
  at::Tensor logits = session.forward(sequence, one.prompt_ids);
  for (std::size_t i = 0; i < one.ids.size(); ++i) {
    ASSERT_TRUE(chooses(one, i, logits));
    logits = session.forward(sequence, std::span(one.ids).subspan(i, 1));
  }
}

INSTANTIATE_TEST_SUITE_P(Prompt, SmolLM2Greedy, ::testing::Range(std::size_t{0}, std::size_t{10}));

TEST_F(SmolLM2, ContinuesTenPromptsInOneBatch) {
  const CausalLM model = CausalLM::from_pretrained(real_model(), {.dtype = Dtype::f32});
  const std::vector<GreedyCase> cases = greedy_cases();
  ASSERT_EQ(cases.size(), 10u);
  Session session(model, {.prefill_chunk = 37});
  std::vector<SequenceInput> batch;
  for (const GreedyCase& one : cases) batch.push_back({session.create(), one.prompt_ids});
  at::Tensor logits = session.forward(batch);
  for (std::size_t i = 0; i < 64; ++i) {
    for (std::size_t j = 0; j < cases.size(); ++j) {
      ASSERT_TRUE(chooses(cases[j], i, logits[static_cast<std::int64_t>(j)]));
      batch[j].ids = std::span(cases[j].ids).subspan(i, 1);
    }
    logits = session.forward(batch);
  }
}

TEST_F(SmolLM2, StaysAsNearInHalfTypesAsTransformersDoes) {
  const Tensors want(fixture("smollm2_logits.safetensors"));
  for (const Dtype dtype : {Dtype::bf16, Dtype::f16}) {
    const CausalLM model = CausalLM::from_pretrained(real_model(), {.dtype = dtype});
    const at::Tensor logits = model.forward(want["ids"].unsqueeze(0)).select(0, 0);
    const at::Tensor error =
        logits.index_select(1, want["sample_ids"]).sub(want["sample_values"]).square().mean(-1).sqrt();
    const double peer = want[std::string(to_string(dtype)) + "_rms"].mean().item<double>();
    EXPECT_LT(error.mean().item<double>(), 1.5 * peer) << to_string(dtype);
  }
}

}  // namespace
}  // namespace powerhouse
