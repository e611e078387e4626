// What a model says of packed documents: the numbers of its padded forward pass, document by document.
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "../expect_error.h"
#include "fixture.h"
#include "ops/remake.h"

namespace powerhouse {
namespace {

using namespace testing;

std::vector<std::int64_t> some_ids(std::int64_t vocabulary, std::int64_t count, std::int64_t salt) {
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < count; ++i) ids.push_back((i * 7919 + salt * 104729 + i * i) % vocabulary);
  return ids;
}

TokenBatch two_documents(std::int64_t vocabulary) {
  TokenBatch batch;
  batch.add(some_ids(vocabulary, 9, 1));
  const std::vector<std::int64_t> second = some_ids(vocabulary, 13, 2);
  std::vector<std::int64_t> labels = second;
  std::fill(labels.begin(), labels.begin() + 5, kIgnoredTarget);
  batch.add(second, labels);
  return batch;
}

TEST(TokenBatchTest, ShiftsLabelsWithinADocument) {
  const TokenBatch batch = two_documents(97);
  EXPECT_EQ(batch.rows(), 22);
  EXPECT_EQ(batch.documents(), 2);
  EXPECT_EQ(batch.target_count(), 8 + 8);
  EXPECT_EQ(batch.targets[0], batch.input_ids[1]);
  EXPECT_EQ(batch.targets[8], kIgnoredTarget);   // the last row of the first document
  EXPECT_EQ(batch.targets[12], kIgnoredTarget);  // predicts a masked label
  EXPECT_EQ(batch.targets[13], batch.input_ids[14]);
  EXPECT_EQ(batch.position_ids[9], 0);
  TokenBatch bad;
  expect_error(ErrorKind::usage, "label", [&] { bad.add(some_ids(97, 3, 1), some_ids(97, 2, 1)); });
}

class Score : public ::testing::TestWithParam<std::string> {
 protected:
  CausalLM model_ = load("families/" + GetParam());
  std::int64_t vocabulary_ = model_.config().vocab_size;
};

TEST_P(Score, IsThatOfTheForwardPass) {
  const TokenBatch batch = two_documents(vocabulary_);
  const TokenScores scores = model_.score(batch);
  ASSERT_EQ(scores.log_probs.numel(), batch.target_count());
  std::int64_t place = 0;
  for (std::int64_t document = 0; document < 2; ++document) {
    const std::int64_t first = batch.cu_seqlens[static_cast<std::size_t>(document)];
    const std::int64_t count = batch.cu_seqlens[static_cast<std::size_t>(document) + 1] - first;
    const at::Tensor ids = index_tensor(
        std::span(batch.input_ids).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)));
    const at::Tensor log_probs = model_.forward(ids.unsqueeze(0)).squeeze(0).log_softmax(-1);
    for (std::int64_t row = 0; row < count; ++row) {
      const std::int64_t target = batch.targets[static_cast<std::size_t>(first + row)];
      if (target == kIgnoredTarget) continue;
      EXPECT_EQ(scores.rows[place].item<std::int64_t>(), first + row);
      EXPECT_NEAR(scores.log_probs[place].item<float>(), log_probs[row][target].item<float>(), 2e-5f);
      EXPECT_NEAR(scores.entropy[place].item<float>(), -log_probs[row].exp().mul(log_probs[row]).sum().item<float>(),
                  2e-4f);
      ++place;
    }
  }
}

// Whether the head is one operation with them or (another temperature beside a cap) logits are made.
TEST_P(Score, StatisticsAndTheGradientOfEntropyAreThoseOfTheForwardPass) {
  const std::vector<std::int64_t> ids = some_ids(vocabulary_, 11, 3);
  TokenBatch batch;
  batch.add(ids);
  for (const float temperature : {1.0f, 0.7f}) {
    const auto gradients = [&](const at::Tensor& entropy) {
      entropy.sum().backward();
      std::vector<at::Tensor> out;
      for (const auto& [name, parameter] : model_.trainable_parameters()) {
        out.push_back(parameter.grad().defined() ? parameter.grad().clone() : at::Tensor());
        parameter.mutable_grad().reset();
      }
      return out;
    };
    model_.set_requires_grad(true);
    const at::Tensor logits =
        model_.forward(index_tensor(ids).unsqueeze(0)).squeeze(0).narrow(0, 0, 10).div(temperature);
    const at::Tensor log_probs = logits.log_softmax(-1);
    const TokenScores scores =
        model_.score(batch, {.temperature = temperature, .logit_statistics = true, .entropy_gradient = true});
    EXPECT_TRUE(close(scores.mean_logits, logits.mean(-1), 2e-5));
    // Numbers near -3.25 that hardly differ: a unit in their last place is 1.2e-5 of their deviation.
    EXPECT_TRUE(close(scores.log_sum_sq_probs, log_probs.mul(2).logsumexp({-1}), 5e-5));
    for (std::int64_t row = 0; row < 10; ++row) {
      const auto target = batch.targets[static_cast<std::size_t>(row)];
      EXPECT_EQ(scores.is_top1[row].item<bool>(), log_probs[row].argmax().item<std::int64_t>() == target);
    }
    const std::vector<at::Tensor> found = gradients(scores.entropy);
    const std::vector<at::Tensor> expected = gradients(log_probs.exp().mul(log_probs).sum(-1).neg());
    double largest = 0;  // against it: the gradient of a key's bias is nothing but rounding
    for (const at::Tensor& gradient : expected) {
      if (gradient.defined()) largest = std::max(largest, gradient.abs().max().item<double>());
    }
    for (std::size_t i = 0; i < found.size(); ++i) {
      ASSERT_EQ(found[i].defined(), expected[i].defined()) << i;
      if (!found[i].defined()) continue;
      EXPECT_LT(found[i].sub(expected[i]).abs().max().item<double>(), 1e-5 * largest) << i;
    }
  }
}

TEST_P(Score, GradientsAreThoseOfProductsThatKeepTheirInput) {
  const TokenBatch batch = two_documents(vocabulary_);
  const auto gradients = [&] {
    model_.set_requires_grad(true);
    model_.loss(batch, 1).loss.backward();
    std::vector<at::Tensor> out;
    for (const auto& [name, parameter] : model_.trainable_parameters()) {
      out.push_back(parameter.grad().defined() ? parameter.grad().clone() : at::Tensor());
      parameter.mutable_grad().reset();
    }
    return out;
  };
  const std::vector<at::Tensor> remade = gradients();
  const ops::KeepEverything keep;
  const std::vector<at::Tensor> kept = gradients();
  for (std::size_t i = 0; i < kept.size(); ++i) {
    EXPECT_TRUE(!kept[i].defined() || remade[i].equal(kept[i])) << i;
  }
}

TEST_P(Score, CheckpointedGradientsAreTheSame) {
  const TokenBatch batch = two_documents(vocabulary_);
  const auto gradients = [&](std::int64_t layers, bool by_loss) {
    model_.set_requires_grad(true);
    const ScoreOptions options{.checkpointed_layers = layers};
    const double targets = static_cast<double>(batch.target_count());
    (by_loss ? model_.loss(batch, targets, options).loss
             : model_.score(batch, options).log_probs.sum().neg().div(targets))
        .backward();
    std::vector<at::Tensor> out;
    for (const auto& [name, parameter] : model_.trainable_parameters()) {
      out.push_back(parameter.grad().defined() ? parameter.grad().clone() : at::Tensor());
      parameter.mutable_grad().reset();
    }
    return out;
  };
  const std::vector<at::Tensor> plain = gradients(0, false);
  ASSERT_EQ(plain.size(), model_.named_parameters().size());
  for (const std::int64_t layers : {std::int64_t{1}, std::int64_t{-1}}) {
    const std::vector<at::Tensor> checkpointed = gradients(layers, false);
    for (std::size_t i = 0; i < plain.size(); ++i) {
      ASSERT_EQ(plain[i].defined(), checkpointed[i].defined()) << i;
      EXPECT_TRUE(!plain[i].defined() || plain[i].equal(checkpointed[i])) << i;
    }
  }
  const std::vector<at::Tensor> of_loss = gradients(-1, true);
  for (std::size_t i = 0; i < plain.size(); ++i) {
    EXPECT_TRUE(!plain[i].defined() || close(plain[i].flatten(), of_loss[i].flatten(), 1e-5)) << i;
  }
}

TEST_P(Score, NoGradientPassesBetweenDocuments) {
  // Ids of the first document that the second lacks, whose rows of the embedding nothing else reads.
  TokenBatch batch;
  batch.add(std::vector<std::int64_t>{1, 2, 3, 4, 1, 2}, std::vector<std::int64_t>(6, kIgnoredTarget));
  batch.add(std::vector<std::int64_t>{5, 6, 7, 8, 9, 5, 6});
  at::Tensor seen;
  model_.set_requires_grad(true);
  model_.add_hook({.point = HookPoint::embeddings}, [&](const at::Tensor& x, const HookContext&) {
    seen = x;
    seen.retain_grad();
    return at::Tensor();
  });
  model_.loss(batch, 1).loss.backward();
  EXPECT_EQ(seen.grad().narrow(0, 0, 6).abs().max().item<float>(), 0.0f);
  EXPECT_GT(seen.grad().narrow(0, 6, 6).abs().max().item<float>(), 0.0f);
}

// So that a policy equals the reference that it began as. Rows of an expert may be too few for the product of training,
// which leaves a difference in the last bits.
TEST_P(Score, IsTheSameBitsWithAndWithoutGradients) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    CausalLM model = load("families/" + GetParam(), dtype);
    const TokenBatch batch = two_documents(model.config().vocab_size);
    const at::Tensor without = model.score(batch).log_probs;
    model.set_requires_grad(true);
    const at::Tensor with = model.score(batch).log_probs;
    EXPECT_TRUE(with.requires_grad());
    const auto difference = with.sub(without).abs().max().item<float>();
    const bool has_experts = std::any_of(model.config().layers.begin(), model.config().layers.end(),
                                         [](const Block& block) { return block.mlp.moe.has_value(); });
    EXPECT_LE(difference, has_experts && dtype == Dtype::f32 ? 2e-6f : 0.0f) << to_string(dtype);
    const c10::AutoGradMode no_grad(false);
    EXPECT_TRUE(model.score(batch).log_probs.equal(without)) << to_string(dtype);
  }
}

INSTANTIATE_TEST_SUITE_P(Family, Score, ::testing::ValuesIn(family_names()),
                         [](const auto& info) { return info.param; });

TEST(ScoreErrors, NameWhatIsWrong) {
  const CausalLM model = load("tiny_gqa");
  expect_error(ErrorKind::usage, "empty", [&] { model.score({}); });
  TokenBatch batch;
  batch.add(some_ids(50, 4, 1), std::vector<std::int64_t>(4, kIgnoredTarget));
  expect_error(ErrorKind::usage, "targets", [&] { model.score(batch); });
  batch = {};
  batch.add(std::vector<std::int64_t>{1, 1 << 30});
  expect_error(ErrorKind::range, "vocabulary", [&] { model.score(batch); });
  batch = {};
  batch.add(some_ids(50, 4, 1));
  expect_error(ErrorKind::range, "layers", [&] { model.score(batch, {.checkpointed_layers = 99}); });
  expect_error(ErrorKind::range, "0", [&] { model.loss(batch, 0); });
  EXPECT_TRUE(model.trainable_parameters().empty());
}

}  // namespace
}  // namespace powerhouse
