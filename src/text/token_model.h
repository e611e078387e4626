// TokenModel: the models that turn a piece of text into tokens, one of them in each tokenizer.
#pragma once

#include <type_traits>
#include <variant>

#include "text/bpe.h"
#include "text/gguf_unigram.h"
#include "text/gguf_word_piece.h"
#include "text/rank_bpe.h"
#include "text/sentencepiece_model.h"
#include "text/spm.h"
#include "text/unigram.h"
#include "text/word_piece.h"

namespace powerhouse {

/// `std::monostate` until a loader puts the model in place.
using TokenModel = std::variant<std::monostate, Bpe, Unigram, WordPiece, WordLevel, Spm, GgufUnigram, GgufWordPiece,
                                SentencePieceModel, RankBpe>;

/// Calls `work` with the model that is there, once its type is known: loops over pieces go inside `work`.
template <typename Work>
void visit_model(const TokenModel& model, Work work) {
  std::visit(
      [&](const auto& held) {
        if constexpr (!std::is_same_v<std::remove_cvref_t<decltype(held)>, std::monostate>) work(held);
      },
      model);
}

}  // namespace powerhouse
