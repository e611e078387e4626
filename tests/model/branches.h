// Prompts with several continuations, sharing the prompt's rows and apart, and the comparison of what a model makes of
// the two.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "ops/tensors.h"
#include "powerhouse/causal_lm.h"

namespace powerhouse::testing {

/// Three prompts, of many, two and one tokens, each with continuations of unequal (or one) length and some labels that
/// do not count; a document without any stands among them.
struct SharedPrompts {
  std::vector<std::vector<std::int64_t>> prompts;
  std::vector<std::vector<std::vector<std::int64_t>>> ids, labels;
  std::vector<std::int64_t> lonely;

  explicit SharedPrompts(std::int64_t vocabulary, bool one_length = false) {
    const auto some = [&](std::int64_t count, std::int64_t salt) {
      std::vector<std::int64_t> out;
      for (std::int64_t i = 0; i < count; ++i) out.push_back((i * 7919 + salt * 104729 + i * i) % vocabulary);
      return out;
    };
    const std::vector<std::int64_t> lengths =
        one_length ? std::vector<std::int64_t>{9, 9, 9} : std::vector<std::int64_t>{7, 14, 1};
    std::int64_t salt = 0;
    for (const std::int64_t length : {13, 2, 1}) {
      prompts.push_back(some(length, ++salt));
      ids.emplace_back(), labels.emplace_back();
      for (const std::int64_t count : lengths) {
        ids.back().push_back(some(count, ++salt));
        labels.back().push_back(ids.back().back());
        if (count > 5) labels.back().back()[3] = kIgnoredTarget;
      }
    }
    lonely = some(6, ++salt);
  }

  TokenBatch shared(bool prompt_targets = false) const {
    TokenBatch batch;
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      std::vector<TokenBatch::Branch> branches;
      for (std::size_t j = 0; j < ids[i].size(); ++j) branches.push_back({ids[i][j], labels[i][j]});
      batch.add_branches(prompts[i], branches, prompt_targets ? prompts[i] : std::vector<std::int64_t>());
      if (i == 0) batch.add(lonely);
    }
    return batch;
  }

  TokenBatch apart() const {
    TokenBatch batch;
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      for (std::size_t j = 0; j < ids[i].size(); ++j) {
        std::vector<std::int64_t> whole = prompts[i], all(prompts[i].size(), kIgnoredTarget);
        whole.insert(whole.end(), ids[i][j].begin(), ids[i][j].end());
        all.insert(all.end(), labels[i][j].begin(), labels[i][j].end());
        batch.add(whole, all);
      }
      if (i == 0) batch.add(lonely);
    }
    return batch;
  }
};

/// The same log-probabilities, and the same gradients of a sum of them with unequal weights: `bar` is relative to the
/// norm of a parameter's gradient, and to a thousandth of that of all of them.
inline void expect_same_scores(CausalLM& model, const TokenBatch& shared, const TokenBatch& apart,
                               const ScoreOptions& options, double bar = 1e-5) {
  ASSERT_LT(shared.rows(), apart.rows());
  if (model.trainable_parameters().empty()) model.set_requires_grad(true);
  std::vector<at::Tensor> log_probs;
  const auto gradients = [&](const TokenBatch& batch) {
    const TokenScores scores = model.score(batch, options);
    log_probs.push_back(scores.log_probs.detach());
    std::vector<float> weights;
    for (std::int64_t i = 0; i < scores.log_probs.numel(); ++i) weights.push_back(static_cast<float>(i % 5) - 1.5f);
    at::Tensor factors = empty_tensor(scores.log_probs.sizes(), at::kFloat);
    std::copy(weights.begin(), weights.end(), factors.data_ptr<float>());
    scores.log_probs.mul(factors).sum().backward();
    std::vector<at::Tensor> out;
    for (const auto& [name, parameter] : model.trainable_parameters()) {
      out.push_back(parameter.grad().defined() ? parameter.grad().to(at::kDouble) : at::Tensor());
      parameter.mutable_grad().reset();
    }
    return out;
  };
  const std::vector<at::Tensor> found = gradients(shared);
  const std::vector<at::Tensor> expected = gradients(apart);
  ASSERT_EQ(log_probs[0].sizes(), log_probs[1].sizes());
  EXPECT_LT(log_probs[0].sub(log_probs[1]).abs().max().item<double>(), 2 * bar);
  double all = 0;
  for (const at::Tensor& gradient : expected) {
    if (gradient.defined()) all = std::hypot(all, gradient.norm().item<double>());
  }
  for (std::size_t i = 0; i < found.size(); ++i) {
    ASSERT_EQ(found[i].defined(), expected[i].defined()) << i;
    if (!found[i].defined()) continue;
    EXPECT_LT(found[i].sub(expected[i]).norm().item<double>(), bar * (expected[i].norm().item<double>() + 1e-3 * all))
        << model.trainable_parameters()[i].first;
  }
}

}  // namespace powerhouse::testing
