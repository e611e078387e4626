// How vocabularies of SentencePiece's kind spell what would not stand in a list of words.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "text/vocabulary.h"

namespace powerhouse {

inline constexpr std::string_view kBlank = "\xE2\x96\x81";  ///< U+2581 for a blank

/// The id of <0xNN> for each byte, -1 where the vocabulary lacks it.
std::array<std::int32_t, 256> find_byte_tokens(const Vocabulary& vocabulary);

}  // namespace powerhouse
