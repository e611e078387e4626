// A reward model as a run names it: a checkpoint with a head of its own, or the folder of an adapter that was trained
// along with a head, as `rl: reward` leaves one.
#pragma once

#include <string>

#include "powerhouse/sequence_classifier.h"
#include "powerhouse/tokenizer.h"

namespace powerhouse {

struct RewardFolder {
  std::string base;       ///< a model
  std::string adapter{};  ///< the folder whose adapter and head it takes; empty: the base has the head

  /// Error{format} for an adapter without a base or a head, or whose base has a head.
  static RewardFolder of(const std::string& path);

  Tokenizer tokenizer() const { return Tokenizer::from_pretrained(base); }
  /// Of the policy's type, beside it.
  SequenceClassifier open(const CausalLM& policy) const;
};

}  // namespace powerhouse
