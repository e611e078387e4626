// Whether two models mean the same tokens by their ids.
#pragma once

#include <string>

#include "powerhouse/tokenizer.h"

namespace powerhouse {

/// Error{unsupported} naming `model` and the first id that stands for different tokens. Ids that only one of the two
/// knows are no difference: converters fill vocabularies up to a round number.
void check_same_vocabulary(const Tokenizer& reference, const Tokenizer& tokenizer, const std::string& model);

}  // namespace powerhouse
