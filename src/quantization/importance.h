// Importance matrices: for each weight, how large its inputs were on some text (the mean square of each column), which
// quantizers take as the cost of that column's error. llama.cpp's files are read in both formats and written as GGUF.
//
// GGUF: tensors "<weight>.in_sum2" [experts, columns], sums of squares, and "<weight>.counts" [experts, 1], of how many
// rows; keys imatrix.datasets, imatrix.chunk_count and imatrix.chunk_size. The older .dat holds sums times calls.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace powerhouse {

/// One weight's sums.
struct ImportanceEntry {
  std::string weight{};         ///< e.g. "blk.0.ffn_up.weight"
  std::vector<float> sums{};    ///< [experts, columns] of squared inputs
  std::vector<float> counts{};  ///< [experts] of rows that were added up; one for all, of .dat files

  /// The importance of all experts' columns, [experts, columns]: sums over counts. Columns of an expert that no text
  /// reached get 1, all alike, as llama.cpp has it.
  std::vector<float> importance() const;
  /// Experts without a row; 0 where all have some.
  std::int64_t unseen_experts() const noexcept;
};

struct ImportanceMatrix {
  std::vector<ImportanceEntry> entries{};  ///< in the order of names
  std::vector<std::string> datasets{};     ///< what text it was made from
  std::int64_t chunk_count = 0;            ///< of how many chunks
  std::int64_t chunk_size = 0;             ///< tokens a chunk; 0 where the file does not say

  const ImportanceEntry* find(std::string_view weight) const noexcept;
};

/// Reads GGUF or .dat, whichever it is. Error{format} naming file and weight where sums and counts do not belong
/// together, have another type than float32, are negative or not finite, and where a .dat ends early.
ImportanceMatrix read_importance(const std::string& path);

/// Writes GGUF, atomically.
void write_importance(const std::string& path, const ImportanceMatrix& matrix);

}  // namespace powerhouse
