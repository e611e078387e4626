#include "text/sentencepiece_normalizer.h"

#include <limits>

#include "powerhouse/error.h"
#include "support/utf8.h"
#include "text/aligned_text.h"
#include "text/spellings.h"

namespace powerhouse {

SentencePieceNormalizer::SentencePieceNormalizer(const SentencePieceFile& file, const ByteTrie& user_defined)
    : user_defined_(user_defined),
      adds_blank_(file.add_dummy_prefix),
      blank_is_suffix_(file.whitespace_as_suffix),
      trims_(file.remove_extra_whitespaces),
      blank_(file.escape_whitespaces ? kBlank : " ") {
  if (!file.charsmap.empty()) map_.emplace(file.charsmap);
  for (unsigned char c = 0; c < 128; ++c) {
    ByteTrie::Node node = ByteTrie::kRoot;
    plain_[c] = c != ' ' && !user_defined.step(node, c);
    for (unsigned char next = 0; map_ && plain_[c] && next < 128; ++next) {
      const char pair[] = {static_cast<char>(c), static_cast<char>(next)};
      plain_[c] = !map_->begins_key({pair, 2}) && map_->longest({pair, 1}).size == 0;
    }
  }
}

// What the beginning of the text becomes.
Charsmap::Prefix SentencePieceNormalizer::prefix_of(std::string_view text) const {
  if (const std::size_t size = user_defined_.longest_prefix(text, 0).first; size > 0)
    return {size, text.substr(0, size)};
  if (map_) {
    if (const Charsmap::Prefix found = map_->longest(text); found.size > 0) return found;
  }
  const Utf8Step step = decode_utf8(text);
  if (!step.valid) return {1, "\xEF\xBF\xBD"};
  return {step.length, text.substr(0, step.length)};
}

// Appends to the normalized text, and says where it came from if that is wanted.
class SentencePieceNormalizer::Writer {
 public:
  Writer(std::string_view text, std::string_view blank, std::string& out, std::vector<std::uint32_t>* origins)
      : blank_(blank), out_(out), origins_(origins), limit_(AlignedText::budget_for(text.size())) {
    if (text.size() >= std::numeric_limits<std::uint32_t>::max()) refuse(text.size());
    out.clear();
    out.reserve(text.size() + text.size() / 2 + 8);
    if (origins != nullptr) origins->clear();
  }

  void blank(std::size_t at) { put(blank_, at); }
  /// All of it comes from `at`.
  void put(std::string_view text, std::size_t at) {
    if (text.size() > limit_ - out_.size()) refuse(out_.size() + text.size());
    out_.append(text);
    if (origins_ != nullptr) origins_->resize(out_.size(), static_cast<std::uint32_t>(at));
  }
  /// The text's own bytes from `begin` to `end`.
  void copy(std::string_view text, std::size_t begin, std::size_t end) {
    if (end - begin > limit_ - out_.size()) refuse(out_.size() + end - begin);
    out_.append(text, begin, end - begin);
    if (origins_ == nullptr) return;
    for (std::size_t at = begin; at < end; ++at) origins_->push_back(static_cast<std::uint32_t>(at));
  }
  /// Removes blanks at the end; `end` is where the text ended, and the answer where it ends now.
  std::size_t trim(std::size_t end) {
    while (std::string_view(out_).ends_with(blank_)) {
      out_.resize(out_.size() - blank_.size());
      if (origins_ == nullptr) continue;
      end = (*origins_)[out_.size()];
      origins_->resize(out_.size());
    }
    return end;
  }
  void finish(std::size_t end) {
    if (origins_ != nullptr) origins_->push_back(static_cast<std::uint32_t>(end));
  }

 private:
  [[noreturn]] static void refuse(std::size_t size) {
    throw Error(ErrorKind::range, "a text is too large for this tokenizer, or its charsmap makes it so",
                {.field = "text", .found = std::to_string(size) + " bytes"});
  }

  std::string_view blank_;
  std::string& out_;
  std::vector<std::uint32_t>* origins_;
  std::size_t limit_;
};

void SentencePieceNormalizer::normalize(std::string_view text, bool prefix, std::string& out,
                                        std::vector<std::uint32_t>* origins) const {
  Writer writer(text, blank_, out, origins);
  std::size_t at = 0;
  if (trims_) {
    while (at < text.size()) {
      const Charsmap::Prefix found = prefix_of(text.substr(at));
      if (found.replacement != " ") break;
      at += found.size;
    }
  }
  if (at == text.size()) return writer.finish(at);
  if (adds_blank_ && !blank_is_suffix_ && prefix) writer.blank(at);
  bool after_blank = trims_;
  while (at < text.size()) {
    std::size_t end = at;
    while (end < text.size() && plain_[static_cast<unsigned char>(text[end])] &&
           (end + 1 == text.size() || static_cast<unsigned char>(text[end + 1]) < 0x80)) {
      ++end;
    }
    if (end > at) {
      writer.copy(text, at, end);
      after_blank = false;
      at = end;
      continue;
    }
    const Charsmap::Prefix found = prefix_of(text.substr(at));
    std::string_view rest = found.replacement;
    while (after_blank && rest.starts_with(' ')) rest.remove_prefix(1);
    if (!rest.empty()) after_blank = trims_ && rest.ends_with(' ');
    while (!rest.empty()) {
      const std::size_t blank = std::min(rest.find(' '), rest.size());
      writer.put(rest.substr(0, blank), at);
      if (blank < rest.size()) writer.blank(at);
      rest.remove_prefix(std::min(blank + 1, rest.size()));
    }
    at += found.size;
  }
  if (trims_) at = writer.trim(at);
  if (adds_blank_ && blank_is_suffix_) writer.blank(at);
  writer.finish(at);
}

}  // namespace powerhouse
