// The decoding loop: prefill, then one token a pass.
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <chrono>
#include <random>

#include "generation/processors.h"
#include "generation/row_sampler.h"
#include "generation/stopping.h"
#include "generation/text_output.h"
#include "powerhouse/error.h"
#include "powerhouse/generation.h"

namespace powerhouse {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

std::int64_t choose(const at::Tensor& logits, const GenerationOptions& options, const LogitsContext& context,
                    const Random& random) {
  const at::Tensor row = logits.contiguous();
  const std::span<float> values(row.data_ptr<float>(), static_cast<std::size_t>(row.numel()));
  return choose_token(values, options, context, random);
}

// Logits of the last token, or an undefined tensor where `cancel` came first.
at::Tensor prefill(Session& session, SequenceId sequence, std::span<const std::int64_t> ids,
                   const std::stop_token& cancel) {
  try {
    return session.forward(sequence, ids, LogitsOf::last, cancel);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::cancelled) throw;
    return {};
  }
}

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
  const Random random(result.seed, RandomStream::sampling);
  const auto past = session.tokens(sequence);
  std::vector<std::int64_t> history(past.begin(), past.end());
  history.insert(history.end(), rest.begin(), rest.end());
  const auto prompt_length = static_cast<std::int64_t>(history.size());
  TextOutput output(tokenizer, options);

  const auto begin = Clock::now();
  // The sequence may grow until the model's context is full; the last token need not be computed on.
  const std::int64_t room = session.room(sequence) - std::ssize(rest) + 1;
  const std::int64_t limit = std::min(options.max_new_tokens, room);
  at::Tensor logits = prefill(session, sequence, rest, options.cancel);
  if (logits.defined()) result.prompt_seconds = seconds_since(begin);  // of a part of the prompt it would be no speed
  if (limit == 0 && logits.defined()) return result;
  auto first_token = begin;
  while (true) {
    if (!logits.defined() || options.cancel.stop_requested()) {
      result.finish_reason = FinishReason::cancelled;
      break;
    }
    const std::int64_t id = choose(logits, options, {.ids = history, .prompt_length = prompt_length}, random);
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
    if (output.stopped()) {
      result.finish_reason = FinishReason::stop;
      break;
    }
    if (static_cast<std::int64_t>(result.ids.size()) >= limit) break;
    logits = session.forward(sequence, std::span(&id, 1));
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
