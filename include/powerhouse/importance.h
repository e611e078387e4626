// Importance matrices: how large each weight's inputs are on some text, in llama.cpp's files.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "powerhouse/export.h"

namespace powerhouse {

struct ImportanceOptions {
  std::int64_t context_length = 512;  ///< tokens a chunk; each begins with BOS where the tokenizer puts one
  std::int64_t chunks = 0;            ///< the first so many; 0: all that the text has
  std::string dataset{};              ///< what the file calls the text
  /// What quantized models will be measured on. Error{usage} where a run of 32 tokens stands in both texts: figures
  /// would flatter. Empty: not looked at.
  std::string evaluation_text{};
  /// Bytes that weights and activations may take beside what is mapped of the model's file; 0: 6 GiB. Chunks go through
  /// the model in as many turns as that asks for.
  std::uint64_t memory_bytes = 0;
  std::function<void(double share)> on_progress{};  ///< of the work done, 0 to 1
  std::stop_token cancel{};                         ///< Error{cancelled}
};

/// Experts of a layer that the text did not reach: quantizers then weigh their columns alike.
struct ExpertCoverage {
  std::string weight{};      ///< e.g. "blk.3.ffn_down_exps.weight"
  std::int64_t experts = 0;  ///< in all
  std::int64_t unseen = 0;   ///< without a single token
  std::int64_t least = 0;    ///< tokens of the one that saw the fewest
};

struct ImportanceReport {
  std::int64_t chunks = 0;
  std::int64_t tokens = 0;
  std::int64_t weights = 0;                ///< entries of the file
  std::vector<ExpertCoverage> coverage{};  ///< of weights that are experts'
  double seconds = 0;
};

/// Runs a text through a model, a GGUF file or a folder, in float32 and a layer in memory at a time, and writes the
/// mean squares of what each linear layer reads, as llama-imatrix does: the same chunks, names and sums. Error{range}
/// for a text of less than two chunks, Error{numeric} where activations are not finite.
POWERHOUSE_API ImportanceReport collect_importance(const std::string& model, const std::string& text,
                                                   const std::string& output, const ImportanceOptions& options = {});

}  // namespace powerhouse
