// Unigram training (Kudo, 2018): begin with the frequent substrings, then in turns fit their probabilities to the words
// (expectation maximization, with a digamma that favours few pieces) and drop those that the text would miss least.
//
// Each step computes what the `tokenizers` package computes, in its order within a word. Words are taken by their bytes
// and summed in parts whose number only the pieces decide, so the result depends on no thread count; there the words
// come out of a hash table in a new order each run, and the last bits of its sums with them.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "powerhouse/tokenizer_training.h"
#include "text/word_counts.h"

namespace powerhouse {

using UnigramPiece = std::pair<std::string, double>;  // text and log-probability

struct TrainedUnigram {
  std::vector<UnigramPiece> pieces;  // by id
  std::optional<std::size_t> unk_id;
};

/// Error{range} where vocab_size is less than the characters of the text.
TrainedUnigram train_unigram(const WordCounts& counts, const UnigramTrainerOptions& options);

}  // namespace powerhouse
