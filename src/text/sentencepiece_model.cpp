#include "text/sentencepiece_model.h"

#include <sentencepiece_processor.h>

#include <optional>
#include <string>

#include "powerhouse/error.h"
#include "text/spellings.h"

namespace powerhouse {
namespace {

using sentencepiece::SentencePieceProcessor;

void require(const sentencepiece::util::Status& status) {
  if (status.ok()) return;
  throw Error(ErrorKind::format, "SentencePiece refuses the model: " + std::string(status.message()), {});
}

// A second normalizer_spec, which protocol buffers merge into the first: add_dummy_prefix is false.
constexpr std::string_view kNoPrefix("\x1A\x02\x18\x00", 4);

}  // namespace

struct SentencePieceModel::State {
  SentencePieceProcessor whole;                    // as the file says
  std::optional<SentencePieceProcessor> inside{};  // without the blank before the text
  bool trims = false;                              // blanks at the beginning
};

SentencePieceModel::SentencePieceModel(std::string_view bytes, const SentencePieceFile& file, bool legacy) {
  auto state = std::make_unique<State>();
  require(state->whole.LoadFromSerializedProto(bytes));
  state->trims = file.remove_extra_whitespaces;
  if (file.add_dummy_prefix && !file.whitespace_as_suffix && !legacy) {
    require(state->inside.emplace().LoadFromSerializedProto(std::string(bytes).append(kNoPrefix)));
  }
  state_ = std::move(state);
}

SentencePieceModel::SentencePieceModel(SentencePieceModel&&) noexcept = default;
SentencePieceModel& SentencePieceModel::operator=(SentencePieceModel&&) noexcept = default;
SentencePieceModel::~SentencePieceModel() = default;

template <typename Emit>
void SentencePieceModel::run(std::string_view piece, bool at_start, Emit emit) const {
  // Where blanks at the beginning are trimmed, one before this text is the blank that is put there.
  const bool blank = state_->trims && (piece.starts_with(' ') || piece.starts_with(kBlank));
  const bool whole = at_start || blank || !state_->inside;
  sentencepiece::ImmutableSentencePieceText result;
  require((whole ? state_->whole : *state_->inside).Encode(piece, result.mutable_proto()));
  for (std::size_t i = 0; i < result.pieces_size(); ++i) {
    const auto token = result.pieces(static_cast<int>(i));
    emit(TokenSpan{token.id(), token.begin(), token.end(), false});
  }
}

void SentencePieceModel::encode(std::string_view piece, std::vector<std::int64_t>& out, bool at_start) const {
  run(piece, at_start, [&](const TokenSpan& span) { out.push_back(span.id); });
}

void SentencePieceModel::encode_spans(std::string_view piece, std::vector<TokenSpan>& out, bool at_start) const {
  run(piece, at_start, [&](const TokenSpan& span) { out.push_back(span); });
}

}  // namespace powerhouse
