// TokenBatch: documents side by side, one row a token, without padding. What a model says of them: token_scores.h.
//
//     TokenBatch batch;
//     batch.add(ids, labels);                                   // labels as Hugging Face has them, -100 where masked
//     at::Tensor loss = model.score(batch).log_probs.mean().neg();
//     loss.backward();
//
// Several continuations of one prompt are branches behind it: batch.add_branches(prompt, {{chosen}, {rejected}}).
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
  std::vector<std::int64_t> position_ids{};  ///< from 0 in each document, behind its prefix where it has one
  std::vector<std::int64_t> cu_seqlens{0};   ///< the row where each document begins, and the number of rows at the end
  /// The token that each row predicts, shifted already: targets[i] is the label of row i + 1 of the same document, or
  /// kIgnoredTarget. The last row of a document predicts nothing.
  std::vector<std::int64_t> targets{};
  /// For each document the one that it continues, an earlier one that continues none, or -1; empty: none does.
  std::vector<std::int64_t> prefixes{};

  /// One more document. `labels` has a label for each id, or is empty: then all ids are labels. No document sees
  /// another, nor does a gradient pass between them. Error{usage} where the sizes differ.
  void add(std::span<const std::int64_t> ids, std::span<const std::int64_t> labels = {});

  /// What may follow a prompt: chosen or rejected, one of a group of completions. Labels as in `add`.
  struct Branch {
    std::span<const std::int64_t> ids, labels{};
  };
  /// A prompt whose rows are computed once, and its continuations, each of which sees the prompt and itself: the
  /// log-probabilities and gradients of documents prompt + branch, at the cost of prompt + all branches. One document
  /// is the prompt without its last token (none where it has no other), then one for each branch in order: that token,
  /// at its place behind the prompt, and the branch's. All ids of a branch have a row that predicts them, and the last
  /// row predicts nothing. `prompt_labels` is empty, then the prompt predicts nothing, or has a label for each id of
  /// it; these targets count once. Error{usage} for an empty prompt, no branches, and sizes that differ. (`score` says
  /// Error{unsupported} where RoPE would turn the prompt otherwise for one branch than for another, as longrope and
  /// dynamic may for branches that end behind the original context.)
  void add_branches(std::span<const std::int64_t> prompt, const std::vector<Branch>& branches,
                    std::span<const std::int64_t> prompt_labels = {});

  std::int64_t rows() const { return static_cast<std::int64_t>(input_ids.size()); }
  std::int64_t documents() const { return static_cast<std::int64_t>(cu_seqlens.size()) - 1; }
  /// Targets that count.
  std::int64_t target_count() const;
};

}  // namespace powerhouse
