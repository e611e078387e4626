// WordPiece training, as the `tokenizers` package does it: the vocabulary that BPE learns with a continuing prefix.
#pragma once

#include <string>
#include <vector>

#include "powerhouse/tokenizer_training.h"
#include "text/word_counts.h"

namespace powerhouse {

/// Tokens by id.
std::vector<std::string> train_word_piece(const WordCounts& counts, const WordPieceTrainerOptions& options);

}  // namespace powerhouse
