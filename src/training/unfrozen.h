// unfrozen_parameters: which of a model's own parameters train, by patterns of their names.
//
// As Axolotl has them: a regular expression that fits at the beginning of a name, in which a dot that no quantifier
// follows is a dot, not any character.
#pragma once

#include <span>
#include <string>

#include "powerhouse/causal_lm.h"

namespace powerhouse {

/// Error{usage} for a pattern that is no regular expression or runs away, Error{unsupported} for Axolotl's ranges of
/// rows behind one ("embed_tokens.weight$[:32000]"), Error{not_found} where a pattern fits no parameter.
void train_only(CausalLM& model, std::span<const std::string> patterns);

}  // namespace powerhouse
