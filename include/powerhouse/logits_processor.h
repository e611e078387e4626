// What changes the scores before a token is chosen: the interface for users' own processors.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

namespace powerhouse {

/// What a processor sees.
struct LogitsContext {
  std::span<const std::int64_t> ids;  ///< prompt and generated tokens so far
  std::int64_t prompt_length = 0;     ///< how many of them are the prompt
  std::uint64_t seed = 0;             ///< of this generation, for processors that draw numbers

  std::int64_t new_tokens() const { return static_cast<std::int64_t>(ids.size()) - prompt_length; }
};

/// Changes one row of float32 logits [vocabulary] in place; -infinity forbids a token. Those of the library are small
/// values (logits_processors.h). Each generation works on a copy of its own, so that what a processor keeps from token
/// to token in itself belongs to one text.
using LogitsProcessor = std::function<void(std::span<float> logits, const LogitsContext& context)>;

}  // namespace powerhouse
