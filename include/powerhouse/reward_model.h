// Rewards: a SequenceClassifier of one label says how good a text is. It learns from pairs (Trainer with
// RewardOptions).
//
//     auto judge = powerhouse::SequenceClassifier::from_pretrained("reward-model/");
//     double good = powerhouse::reward(judge, tokenizer, {{"user", "2 + 3?"}, {"assistant", "5"}});
#pragma once

#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

#include "powerhouse/chat.h"
#include "powerhouse/export.h"
#include "powerhouse/sequence_classifier.h"
#include "powerhouse/tokenizer.h"

namespace powerhouse {

/// The reward of each document, without gradients. Error{usage} for a head of more labels than one; otherwise as
/// SequenceClassifier::logits.
POWERHOUSE_API std::vector<double> rewards(const SequenceClassifier& model, const TokenBatch& batch);

/// Of conversations through the tokenizer's chat template, in passes of about `pass_tokens` tokens: the same texts that
/// training reads of conversations. Error{not_found} for a tokenizer without a template.
POWERHOUSE_API std::vector<double> rewards(const SequenceClassifier& model, const Tokenizer& tokenizer,
                                           std::span<const std::vector<Message>> conversations,
                                           std::int64_t pass_tokens = 4096);
POWERHOUSE_API double reward(const SequenceClassifier& model, const Tokenizer& tokenizer,
                             std::initializer_list<Message> conversation);

/// Of a prompt and its completion as plain text, with EOS behind where there is none: what training reads of strings.
POWERHOUSE_API double reward(const SequenceClassifier& model, const Tokenizer& tokenizer, std::string_view prompt,
                             std::string_view completion);

}  // namespace powerhouse
