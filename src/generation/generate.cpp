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
#include "support/seconds_since.h"

namespace powerhouse {
namespace {

using Clock = std::chrono::steady_clock;

// Tokens of one sequence, chosen from its logits, or on its device where nothing else has to see them.
class Chooser {
 public:
  Chooser(Session& session, SequenceId sequence, const GenerationOptions& options, std::uint64_t seed)
      : session_(session),
        sequence_(sequence),
        options_(options),
        seed_(seed),
        draws_(session.can_draw() && draws_by_warpers_alone(options)) {}

  /// Computes what the token at `place` behind the prompt is chosen from. False where `cancel` came first.
  bool append(std::span<const std::int64_t> ids, std::size_t place, const std::stop_token& cancel) {
    try {
      if (draws_) {
        const SequenceInput input{sequence_, ids};
        const TokenDraw draw{.temperature = options_.temperature,
                             .top_k = options_.top_k,
                             .top_p = options_.top_p,
                             .min_p = options_.min_p,
                             .seed = seed_,
                             .counter = place};
        drawn_ = session_.draw({&input, 1}, {&draw, 1}, cancel).front();
      } else {
        logits_ = session_.forward(sequence_, ids, LogitsOf::last, cancel);
      }
      return true;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::cancelled) throw;
      return false;
    }
  }

  std::int64_t choose(const LogitsContext& context, ConstraintMatcher* matcher) const {
    if (draws_) return drawn_;
    const at::Tensor row = logits_.contiguous();
    const std::span<float> values(row.data_ptr<float>(), static_cast<std::size_t>(row.numel()));
    return choose_token(values, options_, context, Random(seed_, RandomStream::sampling), matcher);
  }

 private:
  Session& session_;
  SequenceId sequence_;
  const GenerationOptions& options_;
  std::uint64_t seed_;
  bool draws_;
  at::Tensor logits_{};
  std::int64_t drawn_ = -1;
};

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
  Chooser chooser(session, sequence, options, result.seed);
  const auto past = session.tokens(sequence);
  std::vector<std::int64_t> history(past.begin(), past.end());
  history.insert(history.end(), rest.begin(), rest.end());
  const auto prompt_length = static_cast<std::int64_t>(history.size());
  TextOutput output(tokenizer, options);
  std::optional<ConstraintMatcher> matcher = matcher_of(options, ends);

  const auto begin = Clock::now();
  // The sequence may grow until the model's context is full; the last token need not be computed on.
  const std::int64_t room = session.room(sequence) - std::ssize(rest) + 1;
  const std::int64_t limit = std::min(options.max_new_tokens, room);
  const bool prefilled = chooser.append(rest, 0, options.cancel);
  if (prefilled) result.prompt_seconds = seconds_since(begin);  // of a part of the prompt it would be no speed
  if (limit == 0 && prefilled) return result;
  auto first_token = begin;
  while (true) {
    if (!prefilled || options.cancel.stop_requested()) {
      result.finish_reason = FinishReason::cancelled;
      break;
    }
    const std::int64_t id =
        chooser.choose({.ids = history, .prompt_length = prompt_length}, matcher ? &*matcher : nullptr);
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
    chooser.append({&id, 1}, result.ids.size(), {});
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
