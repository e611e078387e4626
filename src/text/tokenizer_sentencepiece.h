// The tokenizer of a SentencePiece model file: tokenizer.model of older folders, or such a file alone.
//
// The model is text/sentencepiece_model.h. Before it, control pieces and the unknown one are found in the text as
// transformers finds them, which SentencePiece by itself never does.
#pragma once

#include <memory>
#include <string>

#include "text/tokenizer_impl.h"

namespace powerhouse {

/// From a file alone: nothing is added around texts. Error{not_found, io, format}.
std::shared_ptr<const Tokenizer::Impl> tokenizer_from_sentencepiece(const std::string& path);

/// The parts that the file describes; nothing is finished yet. `legacy`: see SentencePieceModel.
std::shared_ptr<Tokenizer::Impl> load_sentencepiece(const std::string& path, bool legacy);

}  // namespace powerhouse
