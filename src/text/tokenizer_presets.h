// What stands around the model of a tokenizer that is trained: the four parts of tokenizer.json by the name of a
// preset.
#pragma once

#include <string>
#include <string_view>

#include "powerhouse/tokenizer_training.h"
#include "support/json.h"

namespace powerhouse {

struct TokenizerParts {
  Json normalizer, pre_tokenizer, post_processor, decoder;  // null: none
  bool byte_alphabet = false;                               // all 256 bytes are characters of the vocabulary
  bool bert_template = false;                               // the post-processor puts [CLS] and [SEP] around texts
};

/// The preset's parts, each replaced where the options hold one. Error{usage} for an unknown preset, Error{format} for
/// a part that is no JSON.
TokenizerParts tokenizer_parts(const TokenizerTrainingOptions& options);

}  // namespace powerhouse
