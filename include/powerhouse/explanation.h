// A page that shows how sure a model was of each token of a text, and what else could have come.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "powerhouse/export.h"
#include "powerhouse/generation.h"
#include "powerhouse/tokenizer.h"

namespace powerhouse {

struct ExplanationOptions {
  std::string title = "Explanation";
  std::string prompt{};  ///< shown above the text, where not empty
  /// DoLa's premature layer of each token (DolaResult::premature_layers); empty: none is shown.
  std::span<const std::int64_t> premature_layers{};
};

/// HTML without a script: the text, each token coloured by its probability, and in a list under the pointer and in a
/// table the `best` tokens in its place. Error{usage} for a result without `choices`
/// (GenerationOptions::top_log_probs), or for layers of another number of tokens.
POWERHOUSE_API std::string to_html(const GenerationResult& result, const Tokenizer& tokenizer,
                                   const ExplanationOptions& options = {});
/// The same into a file, which is there as a whole or not at all. Error{io}.
POWERHOUSE_API void write_html(const GenerationResult& result, const Tokenizer& tokenizer, const std::string& path,
                               const ExplanationOptions& options = {});

}  // namespace powerhouse
