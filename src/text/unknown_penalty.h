// What an unknown character costs on top of the lowest score, in every kind of unigram model (SentencePiece's
// kUnkPenalty).
#pragma once

namespace powerhouse {

inline constexpr int kUnknownPenalty = 10;  // exact as float and as double

}  // namespace powerhouse
