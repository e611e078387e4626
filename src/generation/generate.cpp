// The decoding loop: prefill, then one token a pass.
#include <algorithm>
#include <chrono>
#include <random>

#include "generation/option_bounds.h"
#include "generation/stopping.h"
#include "generation/text_output.h"
#include "generation/thinking_budget.h"
#include "generation/token_source.h"
#include "powerhouse/error.h"
#include "powerhouse/generation.h"
#include "support/seconds_since.h"

namespace powerhouse {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

std::uint64_t system_seed() {
  std::random_device device;
  return static_cast<std::uint64_t>(device()) << 32 | device();
}

std::string_view to_string(FinishReason reason) noexcept {
  switch (reason) {
    case FinishReason::length: return "length";
    case FinishReason::eos: return "eos";
    case FinishReason::stop: return "stop";
    case FinishReason::cancelled: return "cancelled";
    case FinishReason::time: return "time";
  }
  return "";
}

GenerationResult generate(Session& session, SequenceId sequence, const Tokenizer& tokenizer,
                          std::span<const std::int64_t> ids, const GenerationOptions& options) {
  check_options(options);
  if (ids.empty())
    throw Error(ErrorKind::usage, "there is nothing to continue: the prompt has no tokens", {.field = "prompt"});
  const ModelConfig& config = session.model().config();
  const auto ends = end_ids(config, tokenizer, options);

  GenerationResult result{.prompt_tokens = static_cast<std::int64_t>(ids.size()),
                          .seed = options.seed ? *options.seed : system_seed()};
  if (options.cache_prompt) result.reused_tokens = session.keep_prefix(sequence, ids);
  const auto rest = ids.subspan(static_cast<std::size_t>(result.reused_tokens));
  const auto past = session.tokens(sequence);
  std::vector<std::int64_t> history(past.begin(), past.end());
  history.insert(history.end(), rest.begin(), rest.end());
  const auto prompt_length = static_cast<std::int64_t>(history.size());
  TextOutput output(tokenizer, options);
  std::optional<ThinkingBudget> thinking;
  if (options.thinking) thinking.emplace(tokenizer, *options.thinking, history);
  std::optional<ConstraintMatcher> matcher = matcher_of(options, ends);

  const auto begin = Clock::now();
  // The sequence may grow until the model's context is full; the last token need not be computed on.
  const std::int64_t room = session.room(sequence) - std::ssize(rest) + 1;
  const std::int64_t limit = std::min(options.max_new_tokens, room);
  TokenSource source(session, sequence, options, chain_setting(config, tokenizer, options, limit), result.seed);
  const bool prefilled = source.append(rest, 0, options.cancel);
  if (prefilled) result.prompt_seconds = seconds_since(begin);  // of a part of the prompt it would be no speed
  if (limit == 0 && prefilled) return result;
  auto first_token = begin;
  while (true) {
    if (!prefilled || options.cancel.stop_requested()) {
      result.finish_reason = FinishReason::cancelled;
      break;
    }
    const std::optional<std::int64_t> forced = thinking ? thinking->forced() : std::nullopt;
    const std::int64_t chosen =
        source.choose({.ids = history, .prompt_length = prompt_length}, matcher ? &*matcher : nullptr);
    const std::int64_t id = forced.value_or(chosen);
    if (options.top_log_probs) result.choices.push_back(source.choice(id));
    if (thinking) thinking->add(id);
    result.ids.push_back(id);
    history.push_back(id);
    if (result.ids.size() == 1) {
      result.first_token_seconds = seconds_since(begin);
      first_token = Clock::now();
    }
    if (ends.contains(id)) {
      result.finish_reason = FinishReason::eos;
      break;
    }
    output.add(id);
    if (matcher) matcher->accept(id);
    if (output.stopped() || (matcher && matcher->is_finished())) {
      result.finish_reason = FinishReason::stop;
      break;
    }
    if (static_cast<std::int64_t>(result.ids.size()) >= limit) break;
    if (options.max_time && seconds_since(begin) >= *options.max_time) {
      result.finish_reason = FinishReason::time;
      break;
    }
    source.append({&id, 1}, result.ids.size(), {});
  }
  output.finish();
  if (output.stopped()) result.finish_reason = FinishReason::stop;
  result.generation_seconds = result.ids.empty() ? 0 : seconds_since(first_token);
  result.text = output.take();
  return result;
}

GenerationResult generate(const CausalLM& model, const Tokenizer& tokenizer, std::string_view prompt,
                          const GenerationOptions& options) {
  check_options(options);
  Session session(model);
  return generate(session, session.create(), tokenizer, tokenizer.encode(prompt), options);
}

}  // namespace powerhouse
