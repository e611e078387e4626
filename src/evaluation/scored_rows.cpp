#include "evaluation/scored_rows.h"

#include <algorithm>
#include <cmath>

namespace powerhouse {
namespace {

constexpr std::size_t kRowsAtOnce = 256;

}  // namespace

ScoredRows::ScoredRows(const CausalLM& model, const SessionOptions& options, std::span<const std::int64_t> chunk)
    : session_(model, options), sequence_(session_.create()), chunk_(chunk), row_(chunk.size() / 2) {
  session_.forward(sequence_, chunk.first(row_), LogitsOf::none);
}

at::Tensor ScoredRows::next() {
  const std::size_t rows = std::min(kRowsAtOnce, chunk_.size() - 1 - row_);
  if (rows == 0) return {};
  targets_ = chunk_.subspan(row_ + 1, rows);
  at::Tensor logits = session_.forward(sequence_, chunk_.subspan(row_, rows), LogitsOf::all);
  row_ += rows;
  return logits;
}

void LikelihoodSums::add(double negative_log_likelihood) {
  sum_ += negative_log_likelihood;
  squares_ += negative_log_likelihood * negative_log_likelihood;
  ++count_;
}

double LikelihoodSums::perplexity() const { return std::exp(sum_ / static_cast<double>(count_)); }

PerplexityResult LikelihoodSums::result(std::int64_t chunks) const {
  const double mean = sum_ / static_cast<double>(count_);
  const double variance = squares_ / static_cast<double>(count_) - mean * mean;
  const double value = std::exp(mean);
  return {
      .perplexity = value,
      .standard_error = variance > 0 && count_ > 1 ? value * std::sqrt(variance / static_cast<double>(count_ - 1)) : 0,
      .negative_log_likelihood = mean,
      .tokens = count_,
      .chunks = chunks};
}

}  // namespace powerhouse
