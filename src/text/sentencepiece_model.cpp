#include "text/sentencepiece_model.h"

#include <algorithm>
#include <array>
#include <string>
#include <variant>

#include "powerhouse/error.h"
#include "text/scratch.h"
#include "text/sentencepiece_bpe.h"
#include "text/sentencepiece_normalizer.h"
#include "text/sentencepiece_unigram.h"
#include "text/spellings.h"
#include "text/unicode.h"

namespace powerhouse {
namespace {

using Kind = SentencePieceFile::Kind;

std::int32_t find_unknown(const SentencePieceFile& file) {
  std::int32_t found = -1;
  for (std::size_t id = 0; id < file.pieces.size(); ++id) {
    if (file.pieces[id].kind != Kind::unknown) continue;
    if (found >= 0) refuse_sentencepiece("two unknown pieces");
    found = static_cast<std::int32_t>(id);
  }
  if (found < 0) refuse_sentencepiece("no unknown piece");
  return found;
}

// The ids of <0xNN>, all -1 without byte fallback.
std::array<std::int32_t, 256> find_bytes(const Vocabulary& vocabulary, const SentencePieceFile& file) {
  std::array<std::int32_t, 256> ids = find_byte_tokens(vocabulary);
  const auto of_kind =
      std::count_if(file.pieces.begin(), file.pieces.end(), [](const auto& piece) { return piece.kind == Kind::byte; });
  const auto is_byte = [&](std::int32_t id) {
    return id >= 0 && file.pieces[static_cast<std::size_t>(id)].kind == Kind::byte;
  };
  if (!file.byte_fallback) {
    if (of_kind > 0) refuse_sentencepiece("byte pieces, but no byte fallback");
    ids.fill(-1);
  } else if (of_kind != 256 || !std::all_of(ids.begin(), ids.end(), is_byte)) {
    refuse_sentencepiece("byte fallback, but not the 256 byte pieces");
  }
  return ids;
}

ByteTrie find_user_defined(const SentencePieceFile& file) {
  std::vector<ByteTrie::Key> keys;
  for (std::size_t id = 0; id < file.pieces.size(); ++id) {
    const auto& piece = file.pieces[id];
    if (piece.kind == Kind::user_defined) keys.emplace_back(piece.text, static_cast<std::int32_t>(id));
  }
  return ByteTrie(std::move(keys));
}

}  // namespace

// Each blank begins a word.
struct SentencePieceWords {
  const Vocabulary& vocabulary;
  std::int32_t unk_id;

  void cut(std::string_view text, SentencePieceCuts& out) const {
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find(kBlank, begin + 1), text.size());
      const auto id = vocabulary.find(text.substr(begin, end - begin));
      out.push_back({static_cast<std::uint32_t>(end), id.value_or(unk_id)});
      begin = end;
    }
  }
};

struct SentencePieceCharacters {
  const Vocabulary& vocabulary;
  const ByteTrie& user_defined;
  std::int32_t unk_id;

  void cut(std::string_view text, SentencePieceCuts& out) const {
    for (std::size_t at = 0; at < text.size();) {
      std::size_t size = user_defined.longest_prefix(text, at).first - at;
      if (size == 0) size = unicode::sequence_length(text[at]);
      const auto id = vocabulary.find(text.substr(at, size));
      at += size;
      out.push_back({static_cast<std::uint32_t>(at), id.value_or(unk_id)});
    }
  }
};

namespace {

using Cutter = std::variant<SentencePieceUnigram, SentencePieceBpe, SentencePieceWords, SentencePieceCharacters>;

Cutter make_cutter(const Vocabulary& vocabulary, const SentencePieceFile& file, const ByteTrie& user_defined,
                   std::int32_t unk_id) {
  switch (file.model) {
    case SentencePieceFile::Model::bpe: return SentencePieceBpe(vocabulary, file, user_defined, unk_id);
    case SentencePieceFile::Model::word: return SentencePieceWords{vocabulary, unk_id};
    case SentencePieceFile::Model::character: return SentencePieceCharacters{vocabulary, user_defined, unk_id};
    case SentencePieceFile::Model::unigram: break;
  }
  return SentencePieceUnigram(file, unk_id);
}

}  // namespace

struct SentencePieceModel::State {
  State(const Vocabulary& vocabulary, const SentencePieceFile& file, bool legacy)
      : unk_id(find_unknown(file)),
        bytes(find_bytes(vocabulary, file)),
        byte_fallback(file.byte_fallback),
        legacy_prefix(legacy),
        trims(file.remove_extra_whitespaces),
        user_defined(find_user_defined(file)),
        normalizer(file, user_defined),
        cutter(make_cutter(vocabulary, file, user_defined, unk_id)) {
    for (const auto& piece : file.pieces) control.push_back(piece.kind == Kind::control);
  }

  std::int32_t unk_id;
  std::array<std::int32_t, 256> bytes;
  bool byte_fallback;
  bool legacy_prefix;         // a blank before every piece of text
  bool trims;                 // blanks at the beginning
  std::vector<bool> control;  // by id
  ByteTrie user_defined;
  SentencePieceNormalizer normalizer;
  Cutter cutter;
};

SentencePieceModel::SentencePieceModel(const Vocabulary& vocabulary, const SentencePieceFile& file, bool legacy)
    : state_(std::make_unique<const State>(vocabulary, file, legacy)) {}

SentencePieceModel::SentencePieceModel(SentencePieceModel&&) noexcept = default;
SentencePieceModel& SentencePieceModel::operator=(SentencePieceModel&&) noexcept = default;
SentencePieceModel::~SentencePieceModel() = default;

// Calls `emit(id, begin, end)`, places in the normalized text.
template <typename Emit>
void SentencePieceModel::run(std::string_view piece, bool at_start, std::vector<std::uint32_t>* origins,
                             Emit emit) const {
  const State& state = *state_;
  // Where blanks at the beginning are trimmed, one before this text is the blank that is put there.
  const bool blank = state.trims && (piece.starts_with(' ') || piece.starts_with(kBlank));
  std::string text;
  state.normalizer.normalize(piece, at_start || blank || state.legacy_prefix, text, origins);
  thread_local SentencePieceCuts cuts;
  cuts.clear();
  std::visit([&](const auto& cutter) { cutter.cut(text, cuts); }, state.cutter);
  // A text never gives a control token. (The library fails where a word or a character is spelled as one.)
  const auto is_unknown = [&](const SentencePieceCut& cut) {
    return cut.id == state.unk_id || state.control[static_cast<std::size_t>(cut.id)];
  };
  std::size_t begin = 0;
  for (std::size_t i = 0; i < cuts.size(); ++i) {
    const bool unknown = is_unknown(cuts[i]);
    if (unknown && state.byte_fallback) {
      for (std::size_t at = begin; at < cuts[i].end; ++at) {
        const std::int32_t id = state.bytes[static_cast<unsigned char>(text[at])];
        emit(id, begin, at + 1 < cuts[i].end ? begin : std::size_t{cuts[i].end});
      }
    } else {
      while (unknown && i + 1 < cuts.size() && is_unknown(cuts[i + 1])) ++i;
      emit(unknown ? state.unk_id : cuts[i].id, begin, std::size_t{cuts[i].end});
    }
    begin = cuts[i].end;
  }
  give_back_if_large(cuts);
}

void SentencePieceModel::encode(std::string_view piece, std::vector<std::int64_t>& out, bool at_start) const {
  run(piece, at_start, nullptr, [&](std::int32_t id, std::size_t, std::size_t) { out.push_back(id); });
}

void SentencePieceModel::encode_spans(std::string_view piece, std::vector<TokenSpan>& out, bool at_start) const {
  std::vector<std::uint32_t> origins;
  run(piece, at_start, &origins, [&](std::int32_t id, std::size_t begin, std::size_t end) {
    out.push_back({id, origins[begin], origins[end], false});
  });
}

}  // namespace powerhouse
