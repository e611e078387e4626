// Self-consistency (Wang et al. 2022, arXiv 2203.11171): several sampled chains of thought, and the answer that most of
// them end with.
//
//     auto vote = powerhouse::self_consistency(model, tokenizer, {{"user", question}}, last_number, {.n = 16});
//     std::cout << vote.answers.front().answer;
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "powerhouse/best_of_n.h"
#include "powerhouse/export.h"

namespace powerhouse {

/// The answer that a text ends with, in a spelling of its own: what is to count as the same must be the same text.
/// Nothing where there is none: such a completion has no vote.
using AnswerExtractor = std::function<std::optional<std::string>(std::string_view text)>;

struct VotedAnswer {
  std::string answer{};
  std::vector<std::int64_t> completions{};  ///< indices of those that end with it, ascending: its votes
};

/// Answers by falling votes; of equal ones the one that came first. Empty where no text has an answer.
POWERHOUSE_API std::vector<VotedAnswer> vote(std::span<const RankedCompletion> completions,
                                             const AnswerExtractor& extract);

struct SelfConsistency {
  std::vector<VotedAnswer> answers{};
  std::vector<RankedCompletion> completions{};  ///< in the order of sampling; their rewards are 0
};

/// Samples `options.n` completions side by side, as best_of_n does, and lets them vote. Error{usage} without an
/// extractor; otherwise as best_of_n.
POWERHOUSE_API SelfConsistency self_consistency(const CausalLM& model, const Tokenizer& tokenizer,
                                                std::span<const std::int64_t> prompt, const AnswerExtractor& extract,
                                                const BestOfNOptions& options = {});
/// Answers to a conversation, through the tokenizer's chat template.
POWERHOUSE_API SelfConsistency self_consistency(const CausalLM& model, const Tokenizer& tokenizer,
                                                std::initializer_list<Message> messages, const AnswerExtractor& extract,
                                                const BestOfNOptions& options = {});

}  // namespace powerhouse
