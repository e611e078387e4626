// Exact numerics: the same bits by session and by CausalLM::forward, at once, in pieces and in batches, on any number
// of threads, with gradients and without. Each comparison of fast numerics that these tests would fail with is named.
#include <gtest/gtest.h>

#include <algorithm>

#include "expect_error.h"
#include "fixture.h"
#include "model/causal_lm_impl.h"
#include "powerhouse/session.h"
#include "support/thread_team.h"

namespace powerhouse {
namespace {

using namespace testing;

CausalLM load_as(const std::string& name, Numerics numerics, Dtype dtype = Dtype::automatic) {
  return CausalLM::from_pretrained(fixture(name), {.dtype = dtype, .numerics = numerics});
}

std::vector<std::int64_t> some_ids(const CausalLM& model, std::int64_t count, std::int64_t seed = 13) {
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < count; ++i) ids.push_back((i * i * 31 + i * 7 + seed) % model.config().vocab_size);
  return ids;
}

// All logits of `ids`, in pieces of at most `piece` beside so many other sequences of other lengths.
at::Tensor by_session(const CausalLM& model, const std::vector<std::int64_t>& ids, std::size_t piece = 1000,
                      std::size_t others = 0) {
  Session session(model);
  std::vector<SequenceId> sequences;
  for (std::size_t i = 0; i <= others; ++i) sequences.push_back(session.create());
  std::vector<at::Tensor> parts;
  for (std::size_t at = 0; at < ids.size(); at += piece) {
    const auto rows = std::span(ids).subspan(at, std::min(piece, ids.size() - at));
    std::vector<SequenceInput> batch;
    for (std::size_t i = 0; i < others; ++i) {
      batch.push_back({.sequence = sequences[i], .ids = rows.first(1 + (i * 5) % rows.size())});
    }
    batch.insert(batch.begin() + static_cast<std::ptrdiff_t>(others / 2),
                 {.sequence = sequences[others], .ids = rows, .logits = LogitsOf::all});
    parts.push_back(session.forward(batch).narrow(0, static_cast<std::int64_t>(others / 2),
                                                  static_cast<std::int64_t>(rows.size())));
  }
  return concatenate(parts, 0);
}

// The same by CausalLM::forward, as the middle of three rows padded on the left.
at::Tensor padded(const CausalLM& model, const std::vector<std::int64_t>& ids) {
  const auto length = static_cast<std::int64_t>(ids.size());
  const at::Tensor all = to_tensor(some_ids(model, 3 * (length + 3), 5)).view({3, length + 3}).clone();
  const at::Tensor mask = all.new_ones(all.sizes());
  mask.narrow(1, 0, 3).fill_(0);
  mask[2].narrow(0, 0, length / 2).fill_(0);
  all[1].narrow(0, 3, length).copy_(to_tensor(ids)[0]);
  return model.forward(all, mask)[1].narrow(0, 3, length);
}

at::Tensor by_forward(const CausalLM& model, const std::vector<std::int64_t>& ids) {
  return model.forward(to_tensor(ids))[0];
}

class Exact : public ::testing::TestWithParam<const char*> {
 protected:
  CausalLM model_ = load_as(GetParam(), Numerics::exact);
  std::vector<std::int64_t> ids_ = some_ids(model_, std::min<std::int64_t>(75, longest_sequence(model_.config()) - 3));
};

TEST_P(Exact, ASessionGivesTheSameBitsInPiecesAndBatches) {
  ASSERT_NE(model_.impl().model->plan, nullptr);
  const at::Tensor whole = by_session(model_, ids_);
  for (const std::size_t piece : {1, 3, 40}) EXPECT_TRUE(by_session(model_, ids_, piece).equal(whole)) << piece;
  EXPECT_TRUE(by_session(model_, ids_, 1000, 7).equal(whole));
  EXPECT_TRUE(by_session(model_, ids_, 7, 7).equal(whole));
  // In fast numerics a prompt of more than 32 rows is multiplied, and one of more than four attended, in another way.
  const CausalLM fast = load_as(GetParam(), Numerics::fast);
  EXPECT_FALSE(by_session(fast, ids_, 1).equal(by_session(fast, ids_)));
}

TEST_P(Exact, BitsDoNotDependOnTheThreads) {
  const int threads = team_threads();
  std::vector<at::Tensor> found;
  for (const int count : {1, 2, 3}) {
    set_team_threads(count);
    found.push_back(by_session(model_, ids_, 40, 7));
    found.push_back(padded(model_, ids_));
  }
  set_team_threads(threads);
  for (std::size_t i = 1; i < found.size(); ++i) EXPECT_TRUE(found[i].equal(found[0])) << i;
}

TEST_P(Exact, TheDecoderGivesTheBitsOfThePlan) {
  const at::Tensor plan = by_session(model_, ids_);
  EXPECT_TRUE(by_forward(model_, ids_).equal(plan));
  EXPECT_TRUE(padded(model_, ids_).equal(plan));
  // A pass with hooks is the decoder's, by the plan's matrices and over the cache.
  model_.add_hook({HookPoint::layer_output}, [](const at::Tensor&, const HookContext&) { return at::Tensor(); });
  EXPECT_TRUE(by_session(model_, ids_, 7).equal(plan));
  // Without exact numerics it would not hold; but the smallest model's sums come out alike on some processors.
  if (std::string_view(GetParam()) == "tiny_mqa_linear.gguf") return;
  const CausalLM fast = load_as(GetParam(), Numerics::fast);
  EXPECT_FALSE(by_forward(fast, ids_).equal(by_session(fast, ids_)));
}

// Parameters that are not handed out stay packed; what comes before them may have gradients all the same.
TEST_P(Exact, GradientsOfInputsLeaveTheBitsAlone) {
  const at::Tensor plan = by_session(model_, ids_);
  at::Tensor input;
  const auto watch = [&input](CausalLM& model) {
    model.add_hook({HookPoint::embeddings}, [&input](const at::Tensor& x, const HookContext&) {
      return input = x.detach().clone().requires_grad_(true);
    });
  };
  const auto gradient_of = [&](CausalLM& model) {
    watch(model);
    const at::Tensor logits = by_forward(model, ids_);
    logits.log_softmax(-1).select(1, 5).sum().backward();
    return std::pair(logits.detach(), input.grad().clone());
  };
  const auto [logits, gradient] = gradient_of(model_);
  EXPECT_TRUE(logits.equal(plan));
  EXPECT_NE(model_.impl().model->plan, nullptr);
  CausalLM dense = load(GetParam());
  const auto [dense_logits, dense_gradient] = gradient_of(dense);
  EXPECT_TRUE(close(gradient.flatten(), dense_gradient.flatten(), 0.01));
  EXPECT_FALSE(dense_logits.equal(plan)) << "by LibTorch";
}

// The trainer's passes have gradients, the sampler's are a session's: what a sampled token's log-probability was is
// what the trainer finds.
TEST_P(Exact, TheRatioOfTrainerAndSamplerIsOne) {
  const auto ratios = [&](CausalLM& model) {
    model.set_requires_grad(true);
    const at::Tensor logits = padded(model, ids_);
    EXPECT_TRUE(logits.requires_grad());
    EXPECT_TRUE(!model.impl().model->plan);
    std::vector<at::Tensor> sampled;
    const at::Tensor rows = by_session(model, ids_, 1, 3);
    for (std::int64_t i = 0; i < rows.size(0); ++i) sampled.push_back(rows[i].log_softmax(-1).unsqueeze(0));
    return logits.detach().log_softmax(-1).sub(concatenate(sampled, 0)).exp();
  };
  const at::Tensor ratio = ratios(model_);
  EXPECT_TRUE(ratio.equal(ratio.new_ones(ratio.sizes())));
  CausalLM fast = load_as(GetParam(), Numerics::fast);
  EXPECT_FALSE(ratios(fast).equal(ratio));
}

INSTANTIATE_TEST_SUITE_P(Tiny, Exact,
                         ::testing::Values("tiny_bias_llama3", "tiny_mqa_linear.gguf", "tiny_bf16",
                                           "tiny_blocks_q8_0.gguf", "tiny_blocks_q4_0.gguf", "tiny_experts_q8_0.gguf",
                                           "tiny_shared_expert_q4_0.gguf", "tiny_clamped_experts_q8_0.gguf"),
                         [](const auto& info) {
                           std::string name(info.param);
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

// Beyond 256 positions rows are attended in parts.
TEST(ExactNumerics, HoldWhereRowsAreCutIntoParts) {
  for (const char* name : {"tiny_bias_llama3", "tiny_blocks_q8_0.gguf"}) {
    CausalLM model = load_as(name, Numerics::exact);
    model.impl().model->config.max_position_embeddings = 600;
    const std::vector<std::int64_t> ids = some_ids(model, 560);
    const at::Tensor whole = by_session(model, ids);
    EXPECT_TRUE(by_session(model, ids, 3).equal(whole)) << name;
    EXPECT_TRUE(padded(model, ids).equal(whole)) << name;
    model.set_requires_grad(true);
    EXPECT_TRUE(padded(model, ids).equal(by_session(model, ids, 100))) << name;
  }
}

class ExactFamily : public ::testing::TestWithParam<std::string> {};

TEST_P(ExactFamily, GivesTheSameBitsAndTransformersGradients) {
  const std::string folder = "families/" + GetParam();
  CausalLM model = load_as(folder, Numerics::exact);
  const Tensors expected(fixture(folder + "/expected.safetensors"));
  std::vector<std::int64_t> ids = to_vector(expected["input_ids"].narrow(0, 0, 1));
  const Rope& rope = model.config().layers[0].rope;
  const bool dynamic = rope.scaling == RopeScaling::dynamic || rope.scaling == RopeScaling::longrope;
  const auto original = static_cast<std::size_t>(rope.original_max_position_embeddings);
  if (dynamic && ids.size() > original) {
    expect_error(ErrorKind::unsupported, "depend on the length", [&] { by_session(model, ids); });
    expect_error(ErrorKind::unsupported, "depend on the length", [&] { by_forward(model, ids); });
    ids.resize(original);
  }
  const at::Tensor whole = by_session(model, ids);
  EXPECT_TRUE(by_session(model, ids, 5, 2).equal(whole));
  EXPECT_TRUE(by_forward(model, ids).equal(whole));
  model.set_requires_grad(true);
  const at::Tensor logits = by_forward(model, ids);
  EXPECT_TRUE(by_session(model, ids, 5, 2).equal(logits.detach()));
  // Handed out, weights are multiplied in float32: as before where the file has them so.
  const bool in_f32 = load_as(folder, Numerics::fast).dtype() == Dtype::f32;
  EXPECT_TRUE(in_f32 ? logits.detach().equal(whole) : close(logits, whole, kSameF32));
  if (ids.size() < static_cast<std::size_t>(expected["input_ids"].size(1))) return;
  EXPECT_TRUE(close(logits, expected["single_logits"], kLogitsTolerance));
  const auto length = static_cast<std::int64_t>(ids.size());
  const at::Tensor next = to_tensor(ids)[0].narrow(0, 1, length - 1).unsqueeze(-1);
  logits.narrow(0, 0, length - 1).log_softmax(-1).gather(-1, next).mean().neg().backward();
  for (const auto& [name, tensor] : expected.all()) {
    if (!name.starts_with("grad.")) continue;
    EXPECT_TRUE(close(model.parameter(name.substr(5)).grad().flatten(), tensor.flatten(), kLogitsTolerance)) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Tiny, ExactFamily, ::testing::ValuesIn(family_names()),
                         [](const auto& info) { return info.param; });

TEST(ExactNumerics, AreThoseOfFloat32Alone) {
  for (const Dtype dtype : {Dtype::bf16, Dtype::f16}) {
    expect_error(ErrorKind::unsupported, "float32", [&] { load_as("tiny_gqa", Numerics::exact, dtype); });
  }
  const CausalLM model = load_as("tiny_bf16", Numerics::exact);
  EXPECT_EQ(model.dtype(), Dtype::f32);
  EXPECT_EQ(model.numerics(), Numerics::exact);
  EXPECT_EQ(model.clone().numerics(), Numerics::exact);
  for (const KvType type : {KvType::f16, KvType::bf16, KvType::q8_0, KvType::q4_0}) {
    expect_error(ErrorKind::unsupported, "float32", [&] { Session(model, {.kv_type = type}); });
  }
}

TEST(ExactNumerics, HaveNames) {
  for (const Numerics numerics : {Numerics::fast, Numerics::exact}) {
    EXPECT_EQ(parse_numerics(to_string(numerics)), numerics);
  }
  expect_error(ErrorKind::usage, "fast or exact", [] { parse_numerics("strict"); });
}

}  // namespace
}  // namespace powerhouse
