// The decoding loop behind every way to generate.
#pragma once

#include "powerhouse/generation.h"

namespace powerhouse {

/// Appends `ids` to a sequence and decodes. `before` are tokens that the sequence already holds, for processors that
/// look back.
GenerationResult continue_sequence(Session& session, SequenceId sequence, const Tokenizer& tokenizer,
                                   std::span<const std::int64_t> before, std::span<const std::int64_t> ids,
                                   const GenerationOptions& options);

}  // namespace powerhouse
