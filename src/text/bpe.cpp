#include "text/bpe.h"

#include <algorithm>

#include "support/utf8.h"
#include "text/byte_level.h"
#include "text/spellings.h"
#include "text/unicode.h"

namespace powerhouse {
namespace {

// keep_unknown: the ids of bytes without a token while others merge. None has a rank.
constexpr std::int32_t kept(char byte) { return -1 - static_cast<unsigned char>(byte); }

}  // namespace

// Each thread's buffers, so that encoding a word allocates nothing.
struct Bpe::Scratch {
  std::vector<std::int32_t> ids;
};

Bpe::Scratch& Bpe::scratch() {
  thread_local Scratch buffers;
  return buffers;
}

Bpe::Bpe(const Vocabulary& vocabulary, MergeTable merges, BpeOptions options)
    : vocabulary_(vocabulary), merges_(std::move(merges)), options_(std::move(options)) {
  for (std::size_t byte = 0; byte < 256; ++byte) {
    std::string character;
    append_utf8(character, kByteAlphabet[byte]);
    alphabet_[byte] = vocabulary.find(character).value_or(-1);
  }
  fallback_ = find_byte_tokens(vocabulary);
  find_byte_pairs();
}

bool Bpe::falls_back(std::string_view character) const {
  return options_.byte_fallback && std::all_of(character.begin(), character.end(), [&](char byte) {
           return fallback_[static_cast<unsigned char>(byte)] >= 0;
         });
}

// A character that the vocabulary lacks. An unknown token waits (`pending`) for the next known character, so that
// fuse_unk can join a run; bytes that fall back do not flush it. Both as in tokenizers' merge_word.
void Bpe::add_unknown(std::string_view character, std::vector<std::int32_t>& ids, bool& pending) const {
  if (falls_back(character)) {
    for (const char byte : character) ids.push_back(fallback_[static_cast<unsigned char>(byte)]);
    return;
  }
  if (!options_.unk_id) return;
  if (pending && !options_.fuse_unk) ids.push_back(*options_.unk_id);
  pending = true;
}

// The characters of a piece as symbols: `add(id, bytes of the piece)`. Bytes of an affix that fall back count as bytes
// of the piece, which is how `tokenizers` reckons offsets.
template <typename Add>
void Bpe::each_symbol(std::string_view piece, Add add) const {
  const std::string& prefix = options_.continuing_subword_prefix;
  const std::string& suffix = options_.end_of_word_suffix;
  std::string affixed;
  std::size_t unknown = 0;  // bytes of the unknown token that waits
  for (std::size_t at = 0; at < piece.size();) {
    const std::size_t length = unicode::sequence_length(piece[at]);
    std::string_view spelled = piece.substr(at, length);
    const bool prefixed = at > 0 && !prefix.empty();
    at += length;
    const bool suffixed = at == piece.size() && !suffix.empty();
    if (prefixed || suffixed) {
      affixed.assign(prefixed ? prefix : "").append(spelled).append(suffixed ? suffix : "");
      spelled = affixed;
    }
    if (const auto id = vocabulary_.find(spelled)) {
      if (unknown > 0) add(*options_.unk_id, unknown);
      unknown = 0;
      add(*id, length);
    } else if (options_.keep_unknown) {
      for (const char byte : spelled) add(kept(byte), std::size_t{1});
    } else if (falls_back(spelled)) {
      for (const char byte : spelled) add(fallback_[static_cast<unsigned char>(byte)], std::size_t{1});
    } else if (options_.unk_id) {
      if (unknown > 0 && !options_.fuse_unk) {
        add(*options_.unk_id, unknown);
        unknown = 0;
      }
      unknown += length;
    }
  }
  if (unknown > 0) add(*options_.unk_id, unknown);
}

// The token that a piece is without merging.
std::optional<std::int32_t> Bpe::whole_token(std::string_view piece) const {
  const bool newlines = options_.whole_newlines && piece.find_first_not_of('\n') == std::string_view::npos;
  if (!options_.ignore_merges && !newlines) return std::nullopt;
  return vocabulary_.find(piece);
}

void Bpe::encode_bytes(std::string_view piece, std::vector<std::int64_t>& out) const {
  if (options_.ignore_merges) {
    std::string spelled;
    append_byte_level(spelled, piece);
    if (const auto whole = vocabulary_.find(spelled)) {
      out.push_back(*whole);
      return;
    }
  }
  if (merge_bytes(piece, out)) return;
  std::vector<std::int32_t>& ids = scratch().ids;
  ids.clear();
  bool pending = false;
  for (const char byte : piece) {
    const std::int32_t id = alphabet_[static_cast<unsigned char>(byte)];
    if (id < 0 && options_.keep_unknown) {
      ids.push_back(kept(byte));
      continue;
    }
    if (id < 0) {
      std::string character;
      append_byte_level(character, {&byte, 1});
      add_unknown(character, ids, pending);
      continue;
    }
    if (pending) ids.push_back(*options_.unk_id);
    pending = false;
    ids.push_back(id);
  }
  if (pending) ids.push_back(*options_.unk_id);
  finish(ids, out);
}

void Bpe::encode_characters(std::string_view piece, std::vector<std::int64_t>& out) const {
  if (const auto whole = whole_token(piece)) {
    out.push_back(*whole);
    return;
  }
  std::vector<std::int32_t>& ids = scratch().ids;
  ids.clear();
  each_symbol(piece, [&](std::int32_t id, std::size_t) { ids.push_back(id); });
  finish(ids, out);
}

// A merged token's text is that of its symbols, each but the first without the prefix: the lengths of the texts say
// which symbols went into which token.
void Bpe::encode_spans(std::string_view piece, std::vector<TokenSpan>& out) const {
  if (const auto whole = whole_token(piece)) {
    out.push_back({*whole, 0, piece.size(), false});
    return;
  }
  struct Symbol {
    std::ptrdiff_t text;  // the length of its text
    std::size_t bytes;
  };
  std::vector<Symbol> symbols;
  std::vector<std::int32_t> ids;
  const auto text_of = [&](std::int64_t id) {
    return id < 0 ? std::ptrdiff_t{1} : static_cast<std::ptrdiff_t>(vocabulary_.text(id).size());
  };
  each_symbol(piece, [&](std::int32_t id, std::size_t bytes) {
    ids.push_back(id);
    symbols.push_back({text_of(id), bytes});
  });
  std::vector<std::int64_t> merged;
  merge(ids, merged);
  const auto prefix = static_cast<std::ptrdiff_t>(options_.continuing_subword_prefix.size());
  std::size_t next = 0;
  std::size_t begin = 0;
  for (const std::int64_t id : merged) {
    std::size_t end = begin;
    std::ptrdiff_t left = text_of(id);
    for (bool first = true; next < symbols.size() && (first || left > 0); first = false) {
      left -= symbols[next].text - (first ? 0 : prefix);
      end += symbols[next++].bytes;
    }
    if (const std::int64_t given = final_id(id); given >= 0) out.push_back({given, begin, end, false});
    begin = end;
  }
}

// The token of a kept byte, or -1 where it has none; other ids are their own.
std::int64_t Bpe::final_id(std::int64_t id) const {
  if (id >= 0) return id;
  return options_.byte_fallback ? fallback_[static_cast<std::size_t>(-1 - id)] : -1;
}

void Bpe::finish(std::vector<std::int32_t>& ids, std::vector<std::int64_t>& out) const {
  const auto from = static_cast<std::ptrdiff_t>(out.size());
  merge(ids, out);
  if (!options_.keep_unknown) return;
  auto to = out.begin() + from;
  for (auto at = to; at != out.end(); ++at) {
    if (const std::int64_t given = final_id(*at); given >= 0) *to++ = given;
  }
  out.erase(to, out.end());
}

}  // namespace powerhouse
