#include "text/word_piece.h"

#include <algorithm>

#include "powerhouse/error.h"
#include "text/unicode.h"

namespace powerhouse {
namespace {

[[noreturn]] void refuse_unknown(std::string_view piece, const std::string& unk_token) {
  throw Error(ErrorKind::range, "the vocabulary has neither this word nor the unknown token",
              {.field = "model.unk_token \"" + unk_token + "\"", .found = std::string(piece.substr(0, 100))});
}

bool more_characters_than(std::string_view piece, std::size_t limit) {
  if (piece.size() <= limit) return false;
  const auto is_start = [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; };
  return static_cast<std::size_t>(std::count_if(piece.begin(), piece.end(), is_start)) > limit;
}

ByteTrie trie_of(const Vocabulary& vocabulary) {
  std::vector<ByteTrie::Key> keys;
  for (std::size_t id = 0; id < vocabulary.size(); ++id) {
    const auto number = static_cast<std::int64_t>(id);
    if (!vocabulary.contains(number) || vocabulary.text(number).empty()) continue;
    keys.emplace_back(vocabulary.text(number), static_cast<std::int32_t>(id));
  }
  return ByteTrie(std::move(keys));
}

}  // namespace

WordPiece::WordPiece(const Vocabulary& vocabulary, const WordPieceOptions& options)
    : unk_token_(options.unk_token),
      max_characters_(options.max_input_chars_per_word),
      unk_id_(vocabulary.find(options.unk_token)),
      trie_(trie_of(vocabulary)),
      continuing_(ByteTrie::kRoot) {
  for (const char byte : options.continuing_subword_prefix) {
    if (continuing_ && !trie_.step(*continuing_, static_cast<unsigned char>(byte))) continuing_.reset();
  }
}

// The tokens of a word; false, and what was emitted is void, where it is unknown.
template <typename Emit>
bool WordPiece::cut(std::string_view piece, Emit emit) const {
  if (more_characters_than(piece, max_characters_)) return false;
  for (std::size_t begin = 0; begin < piece.size();) {
    if (begin > 0 && !continuing_) return false;
    ByteTrie::Node node = begin == 0 ? ByteTrie::kRoot : *continuing_;
    std::int32_t longest = -1;
    std::size_t end = begin;
    for (std::size_t at = begin; at < piece.size() && trie_.step(node, static_cast<unsigned char>(piece[at]));) {
      ++at;
      if (trie_.value(node) < 0) continue;
      longest = trie_.value(node);
      end = at;
    }
    if (longest < 0) return false;
    emit(TokenSpan{longest, begin, end, false});
    begin = end;
  }
  return true;
}

std::int32_t WordPiece::unknown(std::string_view piece) const {
  if (!unk_id_) refuse_unknown(piece, unk_token_);
  return *unk_id_;
}

void WordPiece::encode(std::string_view piece, std::vector<std::int64_t>& out) const {
  const std::size_t before = out.size();
  if (cut(piece, [&](const TokenSpan& span) { out.push_back(span.id); })) return;
  out.resize(before);
  out.push_back(unknown(piece));
}

void WordPiece::encode_spans(std::string_view piece, std::vector<TokenSpan>& out) const {
  const std::size_t before = out.size();
  if (cut(piece, [&](const TokenSpan& span) { out.push_back(span); })) return;
  out.resize(before);
  out.push_back({unknown(piece), 0, piece.size(), true});
}

WordLevel::WordLevel(const Vocabulary& vocabulary, std::string unk_token)
    : vocabulary_(vocabulary), unk_token_(std::move(unk_token)), unk_id_(vocabulary.find(unk_token_)) {}

void WordLevel::encode_spans(std::string_view piece, std::vector<TokenSpan>& out) const {
  const auto id = vocabulary_.find(piece);
  if (!id && !unk_id_) refuse_unknown(piece, unk_token_);
  out.push_back({id ? *id : *unk_id_, 0, piece.size(), !id});
}

void WordLevel::encode(std::string_view piece, std::vector<std::int64_t>& out) const {
  const auto id = vocabulary_.find(piece);
  if (!id && !unk_id_) refuse_unknown(piece, unk_token_);
  out.push_back(id ? *id : *unk_id_);
}

}  // namespace powerhouse
