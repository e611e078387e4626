// The real model against transformers (tests/oracles/smollm2.py).
#include <gtest/gtest.h>

#include <cmath>

#include "fixture.h"
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
  return std::max({sampled.max().item<double>(), top.max().item<double>(), mean.max().item<double>()});
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

TEST_F(SmolLM2, ContinuesGreedilyAsTransformersDoes) {
  const CausalLM model = CausalLM::from_pretrained(real_model(), {.dtype = Dtype::f32});
  const Json cases = Json::parse_file(fixture("smollm2_greedy.json"));
  ASSERT_EQ(cases.as_array().size(), 10u);
  for (const Json& item : cases.as_array()) {
    std::vector<std::int64_t> ids;
    for (const Json& id : item.at("prompt_ids").as_array()) ids.push_back(id.as_integer());
    Session session(model);
    const SequenceId sequence = session.create();
    at::Tensor logits = session.forward(sequence, ids);
    for (std::size_t i = 0; i < 64; ++i) {
      const std::int64_t best = logits.argmax(-1).item<std::int64_t>();
      ASSERT_EQ(best, item.at("ids").as_array()[i].as_integer())
          << item.at("prompt").as_string() << ", token " << i << ", where the two best logits are "
          << item.at("gaps").as_array()[i].as_double() << " apart";
      logits = session.forward(sequence, std::span(&best, 1));
    }
  }
}

TEST_F(SmolLM2, StaysAsNearInBfloat16AsTransformersDoes) {
  const Tensors want(fixture("smollm2_logits.safetensors"));
  for (const Dtype dtype : {Dtype::bf16, Dtype::f16}) {
    const CausalLM model = CausalLM::from_pretrained(real_model(), {.dtype = dtype});
    const at::Tensor logits = model.forward(want["ids"].unsqueeze(0)).select(0, 0);
    const at::Tensor error =
        logits.index_select(1, want["sample_ids"]).sub(want["sample_values"]).square().mean(-1).sqrt();
    const double allowed = want["bf16_rms"].mean().item<double>() * (dtype == Dtype::bf16 ? 1.5 : 0.5);
    EXPECT_LT(error.mean().item<double>(), allowed) << to_string(dtype);
  }
}

}  // namespace
}  // namespace powerhouse
