// Where Unigram training begins: all characters, then the substrings of words that go on in more than one way (the
// inner nodes of the words' suffix tree), those that cover most characters first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "text/word_counts.h"

namespace powerhouse {

/// Pieces with what they cover: a character with its count in the text, a substring with its length times its
/// occurrences in distinct words; by falling number, characters before substrings. At most about `size`.
std::vector<std::pair<std::string, std::uint64_t>> unigram_seed(const WordCounts& counts, std::size_t max_piece_length,
                                                                std::size_t size);

}  // namespace powerhouse
