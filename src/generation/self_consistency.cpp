#include "powerhouse/self_consistency.h"

#include <algorithm>
#include <unordered_map>

#include "generation/encode_chat.h"
#include "powerhouse/error.h"

namespace powerhouse {

std::vector<VotedAnswer> vote(std::span<const RankedCompletion> completions, const AnswerExtractor& extract) {
  if (!extract) throw Error(ErrorKind::usage, "a vote needs answers", {.field = "extract", .expected = "a function"});
  std::vector<VotedAnswer> answers;
  std::unordered_map<std::string, std::size_t> places;
  for (const RankedCompletion& completion : completions) {
    std::optional<std::string> answer = extract(completion.text);
    if (!answer) continue;
    const auto [place, is_new] = places.try_emplace(*answer, answers.size());
    if (is_new) answers.push_back({.answer = std::move(*answer)});
    answers[place->second].completions.push_back(completion.index);
  }
  std::stable_sort(answers.begin(), answers.end(),
                   [](const auto& a, const auto& b) { return a.completions.size() > b.completions.size(); });
  return answers;
}

SelfConsistency self_consistency(const CausalLM& model, const Tokenizer& tokenizer,
                                 std::span<const std::int64_t> prompt, const AnswerExtractor& extract,
                                 const BestOfNOptions& options) {
  SelfConsistency result{.answers = vote({}, extract)};  // before the work: whether there is an extractor
  const auto alike = [](std::span<const RankedCompletion> completions) {
    return std::vector<double>(completions.size(), 0.0);  // equal ones keep their order
  };
  result.completions = best_of_n(model, tokenizer, prompt, alike, options);
  result.answers = vote(result.completions, extract);
  return result;
}

SelfConsistency self_consistency(const CausalLM& model, const Tokenizer& tokenizer,
                                 std::initializer_list<Message> messages, const AnswerExtractor& extract,
                                 const BestOfNOptions& options) {
  const std::span<const Message> conversation(messages.begin(), messages.size());
  const auto prompt = encode_chat(ChatTemplate::from_tokenizer(tokenizer), tokenizer, conversation);
  return self_consistency(model, tokenizer, prompt, extract, options);
}

}  // namespace powerhouse
