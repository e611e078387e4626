#include "generation/row_chooser.h"

#include "generation/row_statistics.h"

namespace powerhouse {
namespace {

// A token and the `count` best in its place, by a row of logits.
TokenChoice choice_of(std::span<const float> logits, std::int64_t id, std::int64_t count) {
  const double log_sum = row_statistics(logits).log_sum;
  const auto log_prob = [&](std::int64_t token) {
    return TokenLogProb{token, static_cast<float>(logits[static_cast<std::size_t>(token)] - log_sum)};
  };
  TokenChoice found{.chosen = log_prob(id)};
  for (const Candidate& one : ranked_candidates(logits, static_cast<std::size_t>(count))) {
    found.best.push_back(log_prob(one.id));
  }
  return found;
}

}  // namespace

RowChooser::RowChooser(const Tokenizer& tokenizer, const GenerationOptions& options, const ModelConfig& config,
                       const Continuation& text)
    : options_(options), chain_(options, chain_setting(config, tokenizer, options, text.limit())) {
  if (options.thinking) thinking_.emplace(tokenizer, *options.thinking, text.history());
}

std::int64_t RowChooser::choose(Continuation& text, std::span<float> row, std::span<const float> negative) {
  if (options_.top_log_probs) own_.assign(row.begin(), row.end());
  if (!negative.empty()) processors::guide(row, negative, options_.sampling.guidance_scale);
  const std::int64_t id = settle(chain_.choose(row, text.context(), text.matcher()));
  if (options_.top_log_probs) text.chose(choice_of(own_, id, *options_.top_log_probs));
  return id;
}

std::int64_t RowChooser::settle(std::int64_t chosen) {
  if (!thinking_) return chosen;
  const std::int64_t id = thinking_->forced().value_or(chosen);
  thinking_->add(id);
  return id;
}

}  // namespace powerhouse
