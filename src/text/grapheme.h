// Grapheme clusters (UAX 29, extended), where `tokenizers` draws them.
#pragma once

#include <cstddef>
#include <string_view>

namespace powerhouse {

/// The end of the cluster that begins at `at`, a boundary before the end of valid UTF-8.
std::size_t end_of_cluster(std::string_view text, std::size_t at);

}  // namespace powerhouse
