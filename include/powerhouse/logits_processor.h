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
};

/// Changes one row of float32 logits [vocabulary] in place; -infinity forbids a token.
using LogitsProcessor = std::function<void(std::span<float> logits, const LogitsContext& context)>;

}  // namespace powerhouse
