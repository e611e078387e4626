// TokenBatch: documents side by side, one row a token, without padding. What a model says of them: token_scores.h.
//
//     TokenBatch batch;
//     batch.add(ids, labels);                                   // labels as Hugging Face has them, -100 where masked
//     at::Tensor loss = model.score(batch).log_probs.mean().neg();
//     loss.backward();
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "powerhouse/export.h"

namespace powerhouse {

/// A target that counts for nothing, as in PyTorch's cross entropy.
inline constexpr std::int64_t kIgnoredTarget = -100;

struct POWERHOUSE_API TokenBatch {
  std::vector<std::int64_t> input_ids{};
  std::vector<std::int64_t> position_ids{};  ///< from 0 in each document
  std::vector<std::int64_t> cu_seqlens{0};   ///< the row where each document begins, and the number of rows at the end
  /// The token that each row predicts, shifted already: targets[i] is the label of row i + 1 of the same document, or
  /// kIgnoredTarget. The last row of a document predicts nothing.
  std::vector<std::int64_t> targets{};

  /// One more document. `labels` has a label for each id, or is empty: then all ids are labels. No document sees
  /// another, nor does a gradient pass between them. Error{usage} where the sizes differ.
  void add(std::span<const std::int64_t> ids, std::span<const std::int64_t> labels = {});

  std::int64_t rows() const { return static_cast<std::int64_t>(input_ids.size()); }
  std::int64_t documents() const { return static_cast<std::int64_t>(cu_seqlens.size()) - 1; }
  /// Targets that count.
  std::int64_t target_count() const;
};

}  // namespace powerhouse
