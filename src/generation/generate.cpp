// The decoding loop: prefill, then one token a pass.
#include <random>

#include "generation/continuation.h"
#include "generation/option_bounds.h"
#include "generation/token_source.h"
#include "powerhouse/generation.h"

namespace powerhouse {

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
  check_prompt(ids);
  const std::int64_t reused = options.cache_prompt ? session.keep_prefix(sequence, ids) : 0;
  const auto rest = ids.subspan(static_cast<std::size_t>(reused));
  Continuation text(session.model().config(), tokenizer, history_of(session, sequence, rest), std::ssize(ids),
                    guided_room_behind(session, sequence, rest, options.sampling), options);
  text.reused(reused);
  TokenSource source(session, sequence, tokenizer, options, text);
  if (source.append(rest, 0, options.cancel)) {
    text.prefilled();
  } else {
    text.cancelled();
  }
  while (text.wants_more()) {
    const std::int64_t id = source.choose(text);
    if (text.take(id)) source.append({&id, 1}, static_cast<std::size_t>(text.made()), {});
  }
  return text.finish();
}

GenerationResult generate(const CausalLM& model, const Tokenizer& tokenizer, std::string_view prompt,
                          const GenerationOptions& options) {
  check_options(options);
  Session session(model);
  return generate(session, session.create(), tokenizer, tokenizer.encode(prompt), options);
}

}  // namespace powerhouse
