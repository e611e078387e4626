// Importance matrices collected from text: sums of squares of what each linear map of a model reads.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "powerhouse/importance.h"
#include "quantization/importance.h"

namespace powerhouse {

using TokenSequences = std::vector<std::vector<std::int64_t>>;

/// Of sequences of one length. `options` says what memory there is, whom to tell and when to stop. Entries carry the
/// names that the model's tensors have in GGUF; a GGUF file's own where it has several spellings.
ImportanceMatrix importance_of_text(const std::string& model, const TokenSequences& sequences,
                                    const ImportanceOptions& options);

/// A text's chunks as llama-imatrix cuts it, all that fit or the first `options.chunks`.
TokenSequences importance_chunks(const std::string& model, const std::string& text, const ImportanceOptions& options);

}  // namespace powerhouse
