// A head over whole sequences in the vocabulary's place, as transformers' ...ForSequenceClassification have it:
// classes, labels, a regression's values, or the reward of a text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "powerhouse/export.h"

namespace powerhouse {

/// What a head's numbers mean, and so its loss; transformers' names. Automatic: regression for one label, else one
/// class of several.
enum class ProblemType { automatic, regression, single_label_classification, multi_label_classification };
POWERHOUSE_API std::string_view to_string(ProblemType type) noexcept;

/// `score.weight` [labels, hidden] without bias, read at a sequence's last token that is not padding.
struct SequenceHead {
  /// One a row of `score.weight` (id2label; label2id is its inverse). A reward model has one.
  std::vector<std::string> labels{};
  ProblemType problem_type = ProblemType::automatic;
  /// Tokens of this id at a sequence's end are passed over, though they are no padding here (where EOS pads, the token
  /// before EOS is read). Without it the last token is read.
  std::optional<std::int64_t> pad_token_id{};

  std::int64_t num_labels() const { return static_cast<std::int64_t>(labels.size()); }
  bool operator==(const SequenceHead&) const = default;
};

}  // namespace powerhouse
