// A row's prompt and completions as ids, as TRL 1.16 makes them.
#pragma once

#include <string>
#include <vector>

#include "powerhouse/preference_dataset.h"
#include "training/data/chat_messages.h"
#include "training/data/preference_shape.h"

namespace powerhouse::training {

struct PreferenceIds {
  std::vector<std::int64_t> prompt;
  std::vector<std::vector<std::int64_t>> completions;
  bool prompt_merged = false;  // the prompt's last tokens are others in front of a completion, and left to it
};

class PreferenceTokenizer {
 public:
  PreferenceTokenizer(const Tokenizer& tokenizer, const DatasetSource& source, const PreferenceDatasetOptions& options);

  /// Safe from several threads. Error{format} for what the template does not take.
  PreferenceIds encode(const PreferenceRow& row) const;

 private:
  std::vector<std::vector<std::int64_t>> encode_texts(const PreferenceTexts& texts, bool special_tokens) const;
  std::vector<std::vector<std::int64_t>> encode_messages(const PreferenceMessages& messages) const;
  PreferenceTexts rendered_alone(const PreferenceMessages& messages) const;
  void put_bos_and_eos(PreferenceIds& ids) const;

  Tokenizer tokenizer_;
  LazyChatTemplate template_;
  std::string eos_;
  bool bos_and_eos_;
};

/// Prompt and completion together, cut to max_length as TRL's collators do.
PreferenceSequence cut_sequence(const std::vector<std::int64_t>& prompt, const std::vector<std::int64_t>& completion,
                                const PreferenceDatasetOptions& options);

}  // namespace powerhouse::training
