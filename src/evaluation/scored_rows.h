// The logits of a chunk's second half, some rows at a time, and the sums that become a perplexity.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "powerhouse/evaluation.h"
#include "powerhouse/session.h"

namespace powerhouse {

class ScoredRows {
 public:
  /// Runs the first half. `chunk` must stay.
  ScoredRows(const CausalLM& model, const SessionOptions& options, std::span<const std::int64_t> chunk);

  /// float32 [rows, vocabulary], each row given all tokens before its target; undefined at the end. At most 256 rows.
  at::Tensor next();
  /// What follows each of those rows in the text.
  std::span<const std::int64_t> targets() const { return targets_; }

 private:
  Session session_;
  SequenceId sequence_;
  std::span<const std::int64_t> chunk_;
  std::span<const std::int64_t> targets_{};
  std::size_t row_;
};

class LikelihoodSums {
 public:
  void add(double negative_log_likelihood);
  double perplexity() const;
  PerplexityResult result(std::int64_t chunks) const;

 private:
  double sum_ = 0;
  double squares_ = 0;
  std::int64_t count_ = 0;
};

}  // namespace powerhouse
