// The cuts that llama.cpp makes in code and not by a pattern, each as it makes them (its unicode.cpp).
#pragma once

#include <string_view>

#include "text/piece_sink.h"

namespace powerhouse {

/// Kimi K2: runs of ideographs, then nearly o200k's pattern without case.
void split_kimi_k2(std::string_view text, PieceSink sink);

/// Numbers in groups of three from the right (AFMoE, Tiny Aya). What stands before a number stays with its first group.
void split_number_groups(std::string_view text, PieceSink sink);

/// The same of ASCII digits, each group a piece of its own (SuperBPE).
void split_thousands(std::string_view text, PieceSink sink);

/// Runs of line feeds, and what stands between (Gemma 4).
void split_newlines(std::string_view text, PieceSink sink);

}  // namespace powerhouse
