// WordLevel training: special tokens, then whole words by falling count, equals by their bytes.
#pragma once

#include <string>
#include <vector>

#include "powerhouse/tokenizer_training.h"
#include "text/word_counts.h"

namespace powerhouse {

/// Tokens by id, at most vocab_size; a word spelled like a special token stands there twice.
std::vector<std::string> train_word_level(const WordCounts& counts, const WordLevelTrainerOptions& options);

}  // namespace powerhouse
