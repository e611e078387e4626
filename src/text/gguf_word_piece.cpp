#include "text/gguf_word_piece.h"

#include <utf8proc.h>

#include "text/spellings.h"
#include "text/tokenizers_unicode.h"
#include "text/unicode.h"

namespace powerhouse {
namespace {

using unicode::Category;

char32_t first_of_decomposition(char32_t code_point) {
  if (code_point < 0xC0) return code_point;
  utf8proc_int32_t parts[32];
  const utf8proc_ssize_t count =
      utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code_point), parts, 32, UTF8PROC_DECOMPOSE, nullptr);
  return count < 1 ? code_point : static_cast<char32_t>(parts[0]);
}

bool is_mark(Category category) { return category >= Category::kMn && category <= Category::kMe; }
bool is_punctuation(Category category) { return category >= Category::kPc && category <= Category::kPo; }
bool is_symbol(Category category) { return category >= Category::kSm && category <= Category::kSo; }
bool is_control(Category category) { return category >= Category::kCc && category <= Category::kCo; }

bool stands_alone(char32_t code_point) {
  const Category category = unicode::category(code_point);
  return is_punctuation(category) || (code_point < 0x7F && is_symbol(category)) ||
         tokenizers_unicode::is_ideograph(code_point);
}

}  // namespace

bool GgufWordNormalizer::rewrite(const AlignedText& text, TextBuffer& out) const {
  TextBuilder builder(text, out);
  for (std::size_t at = 0; at < text.text.size();) {
    auto [code_point, length] = unicode::character_at(text.text, at);
    if (strip_accents_) code_point = first_of_decomposition(code_point);
    const Category category = unicode::category(code_point);
    if (unicode::is_space(code_point)) {
      builder.put(code_point, at);
    } else if (code_point != 0 && code_point != 0xFFFD && !is_control(category) &&
               !(strip_accents_ && is_mark(category))) {
      builder.put(lowercase_ ? tokenizers_unicode::to_lower(code_point) : code_point, at);
    }
    at += length;
  }
  return true;
}

void GgufWordsStep::split(std::string_view text, PieceSink sink) const {
  std::size_t start = 0;
  const auto end_word = [&](std::size_t end) {
    if (start < end) sink(text.substr(start, end - start));
  };
  for (std::size_t at = 0; at < text.size();) {
    const auto [code_point, length] = unicode::character_at(text, at);
    const bool space = unicode::is_space(code_point);
    if (space || stands_alone(code_point)) {
      end_word(at);
      if (!space) sink(text.substr(at, length));
      start = at + length;
    }
    at += length;
  }
  end_word(text.size());
}

GgufWordPiece::GgufWordPiece(const Vocabulary& vocabulary, std::optional<std::int32_t> unk_id) : unk_id_(unk_id) {
  std::vector<ByteTrie::Key> keys;
  for (std::size_t id = 0; id < vocabulary.size(); ++id) {
    const auto number = static_cast<std::int64_t>(id);
    if (!vocabulary.contains(number) || vocabulary.text(number).empty()) continue;
    keys.emplace_back(vocabulary.text(number), static_cast<std::int32_t>(id));
  }
  trie_ = ByteTrie(std::move(keys));
}

// The longest token that the marked word goes on with, again and again; false where there is none.
template <typename Emit>
bool GgufWordPiece::cut(std::string_view word, Emit emit) const {
  std::string marked;
  marked.reserve(kBlank.size() + word.size());
  marked.append(kBlank).append(word);
  const auto place = [](std::size_t at) { return at < kBlank.size() ? 0 : at - kBlank.size(); };
  for (std::size_t at = 0; at < marked.size();) {
    const auto [end, found] = trie_.longest_prefix(marked, at);
    if (found < 0) return false;
    emit(TokenSpan{found, place(at), place(end), false});
    at = end;
  }
  return true;
}

void GgufWordPiece::encode(std::string_view piece, std::vector<std::int64_t>& out) const {
  if (piece.empty()) return;
  const std::size_t before = out.size();
  if (cut(piece, [&](const TokenSpan& span) { out.push_back(span.id); })) return;
  out.resize(before);
  if (unk_id_) out.push_back(*unk_id_);
}

void GgufWordPiece::encode_spans(std::string_view piece, std::vector<TokenSpan>& out) const {
  if (piece.empty()) return;
  const std::size_t before = out.size();
  if (cut(piece, [&](const TokenSpan& span) { out.push_back(span); })) return;
  out.resize(before);
  if (unk_id_) out.push_back({*unk_id_, 0, piece.size(), true});
}

}  // namespace powerhouse
