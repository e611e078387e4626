// Folders of older models, without tokenizer.json: GPT-2 style vocab.json and merges.txt, BERT's vocab.txt,
// SentencePiece's tokenizer.model, or tiktoken's ranks.
//
// Such files hold a vocabulary and nothing else; what the tokenizer does with it is known from its class in
// transformers, by name. Each known class becomes a tokenizer.json, which is then loaded like any other;
// SentencePiece's file says most of it itself (text/tokenizer_sentencepiece.h).
#pragma once

#include <memory>
#include <string>

#include "support/json.h"
#include "text/tokenizer_impl.h"

namespace powerhouse {

class SlowTokenizer {
 public:
  struct Row;  // a class of transformers

  SlowTokenizer(const Row& row, std::string folder) : row_(&row), folder_(std::move(folder)) {}

  /// Reads the vocabulary, and gives `config` the special tokens that the class has by default.
  std::shared_ptr<Tokenizer::Impl> load(Json& config) const;
  /// The post-processor of the class; the special tokens are known now.
  void finish(Tokenizer::Impl& tokenizer, const Json& config) const;

 private:
  std::shared_ptr<Tokenizer::Impl> load_whole(Json& config) const;

  const Row* row_;
  std::string folder_;
};

/// By `tokenizer_class` of tokenizer_config.json or `model_type` of config.json. Error{not_found} where the folder
/// holds none of the files, Error{unsupported} for other classes.
SlowTokenizer find_slow_tokenizer(const std::string& folder, const Json& config);

}  // namespace powerhouse
