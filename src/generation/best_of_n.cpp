#include "powerhouse/best_of_n.h"

#include <algorithm>
#include <cmath>

#include "powerhouse/error.h"

namespace powerhouse {
namespace {

void check(const BestOfNOptions& options) {
  if (options.n < 1) {
    throw Error(ErrorKind::range, "at least one completion",
                {.field = "n", .expected = "1 or more", .found = std::to_string(options.n)});
  }
  if (options.n > 1 && options.generation.temperature == 0.0f) {
    throw Error(ErrorKind::usage, "greedy completions are all alike",
                {.field = "temperature", .expected = "above 0", .found = "0"});
  }
}

// One after the other on one sequence, which keeps the prompt.
std::vector<RankedCompletion> sample(const CausalLM& model, const Tokenizer& tokenizer,
                                     std::span<const std::int64_t> prompt, const BestOfNOptions& options) {
  Session session(model);
  const SequenceId sequence = session.create();
  GenerationOptions generation = options.generation;
  generation.cache_prompt = true;
  std::vector<RankedCompletion> completions;
  for (std::int64_t i = 0; i < options.n; ++i) {
    GenerationResult result = generate(session, sequence, tokenizer, prompt, generation);
    if (result.finish_reason == FinishReason::cancelled) break;
    generation.seed = result.seed + 1;  // also where the first was the system's
    completions.push_back({.text = std::move(result.text),
                           .ids = std::move(result.ids),
                           .finish_reason = result.finish_reason,
                           .index = i});
  }
  return completions;
}

}  // namespace

std::vector<RankedCompletion> best_of_n(const CausalLM& model, const Tokenizer& tokenizer,
                                        std::span<const std::int64_t> prompt, const CompletionRewards& rewards,
                                        const BestOfNOptions& options) {
  check(options);
  std::vector<RankedCompletion> completions = sample(model, tokenizer, prompt, options);
  if (completions.empty()) return completions;
  const std::vector<double> found = rewards(completions);
  if (found.size() != completions.size()) {
    throw Error(
        ErrorKind::usage, "a reward for each completion",
        {.field = "rewards", .expected = std::to_string(completions.size()), .found = std::to_string(found.size())});
  }
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (!std::isfinite(found[i])) {
      throw Error(ErrorKind::numeric, "a reward that is not finite",
                  {.field = "rewards[" + std::to_string(i) + "]", .found = std::to_string(found[i])});
    }
    completions[i].reward = found[i];
  }
  std::stable_sort(completions.begin(), completions.end(),
                   [](const auto& a, const auto& b) { return a.reward > b.reward; });
  return completions;
}

std::vector<RankedCompletion> best_of_n(const CausalLM& model, const Tokenizer& tokenizer,
                                        std::span<const Message> messages, const SequenceClassifier& reward_model,
                                        const Tokenizer& reward_tokenizer, const BestOfNOptions& options) {
  const ChatTemplate chat_template = ChatTemplate::from_tokenizer(tokenizer);
  const std::string prompt = chat_template.render(messages, {.add_generation_prompt = true});
  const auto judge = [&](std::span<const RankedCompletion> completions) {
    std::vector<std::vector<Message>> conversations;
    for (const RankedCompletion& completion : completions) {
      conversations.emplace_back(messages.begin(), messages.end()).push_back({"assistant", completion.text});
    }
    return rewards(reward_model, reward_tokenizer, conversations);
  };
  return best_of_n(model, tokenizer, tokenizer.encode(prompt, {.add_special_tokens = false}), judge, options);
}

std::vector<RankedCompletion> best_of_n(const CausalLM& model, const Tokenizer& tokenizer,
                                        std::initializer_list<Message> messages, const SequenceClassifier& reward_model,
                                        const Tokenizer& reward_tokenizer, const BestOfNOptions& options) {
  return best_of_n(model, tokenizer, std::span<const Message>(messages.begin(), messages.size()), reward_model,
                   reward_tokenizer, options);
}

}  // namespace powerhouse
