#include "powerhouse/best_of_n.h"

#include <algorithm>
#include <cmath>

#include "generation/encode_chat.h"
#include "generation/option_bounds.h"
#include "generation/sample_many.h"
#include "generation/text_output.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

void check(const BestOfNOptions& options) {
  check_options(options.generation);
  if (options.n < 1) {
    throw Error(ErrorKind::range, "at least one completion",
                {.field = "n", .expected = "1 or more", .found = std::to_string(options.n)});
  }
  if (options.n > 1 && options.generation.temperature == 0.0f) {
    throw Error(ErrorKind::usage, "greedy completions are all alike",
                {.field = "temperature", .expected = "above 0", .found = "0"});
  }
  if (options.generation.max_new_tokens < 1) {
    throw Error(ErrorKind::range, "completions without tokens", {.field = "max_new_tokens", .expected = "1 or more"});
  }
  if (options.generation.on_token) {
    throw Error(ErrorKind::usage, "completions are sampled side by side and not streamed", {.field = "on_token"});
  }
}

std::vector<SampledCompletion> sample_all(const CausalLM& model, const Tokenizer& tokenizer,
                                          std::span<const std::int64_t> prompt, GenerationOptions options,
                                          const ManyOptions& many) {
  options.seed.reset();
  options.stop.clear();  // the texts know
  options.stop_regex.clear();
  options.stop_token_ids.clear();
  try {
    return sample_many(model, tokenizer, {{prompt.begin(), prompt.end()}}, options, many);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::cancelled) throw;
    return {};
  }
}

// All at once: a pass takes a token of every completion that goes on.
std::vector<RankedCompletion> sample(const CausalLM& model, const Tokenizer& tokenizer,
                                     std::span<const std::int64_t> prompt, const BestOfNOptions& options) {
  const GenerationOptions& generation = options.generation;
  const std::uint64_t seed = generation.seed ? *generation.seed : system_seed();
  std::vector<TextOutput> texts(static_cast<std::size_t>(options.n), TextOutput(tokenizer, generation));
  const auto add = [&](std::size_t completion, std::int64_t id) {
    texts[completion].add(id);
    return texts[completion].stopped();
  };
  const ManyOptions many{.per_prompt = options.n,
                         .seed = [&](std::size_t completion) { return seed + completion; },
                         .on_token = add,
                         .log_probs = false};
  std::vector<RankedCompletion> completions;
  std::vector<SampledCompletion> sampled = sample_all(model, tokenizer, prompt, generation, many);
  for (std::size_t i = 0; i < sampled.size(); ++i) {
    if (!sampled[i].whole) continue;  // what is cut off by a request to stop is no completion
    texts[i].finish();
    completions.push_back({.text = texts[i].take(),
                           .ids = std::move(sampled[i].ids),
                           .finish_reason = texts[i].stopped() || sampled[i].stopped ? FinishReason::stop
                                            : sampled[i].ended                       ? FinishReason::eos
                                                                                     : FinishReason::length,
                           .index = static_cast<std::int64_t>(i)});
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
  const auto judge = [&](std::span<const RankedCompletion> completions) {
    std::vector<std::vector<Message>> conversations;
    for (const RankedCompletion& completion : completions) {
      conversations.emplace_back(messages.begin(), messages.end()).push_back({"assistant", completion.text});
    }
    return rewards(reward_model, reward_tokenizer, conversations);
  };
  return best_of_n(model, tokenizer, encode_chat(chat_template, tokenizer, messages), judge, options);
}

std::vector<RankedCompletion> best_of_n(const CausalLM& model, const Tokenizer& tokenizer,
                                        std::initializer_list<Message> messages, const SequenceClassifier& reward_model,
                                        const Tokenizer& reward_tokenizer, const BestOfNOptions& options) {
  return best_of_n(model, tokenizer, std::span<const Message>(messages.begin(), messages.size()), reward_model,
                   reward_tokenizer, options);
}

}  // namespace powerhouse
