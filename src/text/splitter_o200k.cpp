#include "text/splitter_o200k.h"

#include "text/splitters.h"
#include "text/unicode.h"

namespace powerhouse {
namespace {

using unicode::Category;
using unicode::Class;

struct CasedCharacter {
  char32_t code_point = 0;
  std::size_t length = 0;  // 0 at the end of the text
  bool upper = false;      // of U
  bool lower = false;      // of L
  bool newline() const { return code_point == '\r' || code_point == '\n'; }
};

class Splitter {
 public:
  Splitter(std::string_view text, const O200k& options) : text_(text), options_(options) {}

  std::size_t next(std::size_t at) const {
    const CasedCharacter first = look(at);
    const Class kind = unicode::classify(first.code_point);
    const bool prefix = !first.newline() && kind != Class::letter && kind != Class::number;
    if (prefix) {
      if (const std::size_t end = lower_word(at + first.length)) return contraction(end);
    }
    if (const std::size_t end = lower_word(at)) return contraction(end);
    if (prefix) {
      if (const std::size_t end = upper_word(at + first.length)) return contraction(end);
    }
    if (const std::size_t end = upper_word(at)) return contraction(end);
    if (kind == Class::number) return numbers(at);
    const std::size_t sign = first.code_point == ' ' ? at + 1 : at;
    if (const std::size_t end = signs(sign)) return end;
    return spaces(at);
  }

 private:
  CasedCharacter look(std::size_t at) const {
    if (at >= text_.size()) return {};
    const auto [code_point, length] = unicode::character_at(text_, at);
    CasedCharacter seen{code_point, length};
    const Category category = unicode::category(code_point);
    const bool letter = category <= unicode::kLo;
    const bool mark = category >= unicode::kMn && category <= unicode::kMe;
    switch (options_.letters) {
      case O200k::Letters::cased:
        seen.upper = mark || (letter && category != unicode::kLl);
        seen.lower = mark || (letter && category != unicode::kLu && category != unicode::kLt);
        break;
      case O200k::Letters::ascii_cased:
      case O200k::Letters::ascii_cased_marks: {
        const bool counts = letter || (mark && options_.letters == O200k::Letters::ascii_cased_marks);
        seen.upper = counts && !(code_point >= 'a' && code_point <= 'z');
        seen.lower = counts && !(code_point >= 'A' && code_point <= 'Z');
        break;
      }
      case O200k::Letters::any_with_marks: seen.upper = seen.lower = letter || mark; break;
    }
    return seen;
  }

  // U*L+ at `at`, or 0. Where no L follows the run of U, the last one in it is taken, which is where backtracking ends.
  std::size_t lower_word(std::size_t at) const {
    std::size_t end = at;
    std::size_t last = 0;  // after the last of L in the run
    CasedCharacter seen = look(end);
    for (; seen.length != 0 && seen.upper; seen = look(end)) {
      end += seen.length;
      if (seen.lower) last = end;
    }
    if (seen.length == 0 || !seen.lower) return last;
    for (; seen.length != 0 && seen.lower; seen = look(end)) end += seen.length;
    return end;
  }

  // U+L* at `at`, where lower_word is none: no L follows.
  std::size_t upper_word(std::size_t at) const {
    std::size_t end = at;
    for (CasedCharacter seen = look(end); seen.length != 0 && seen.upper; seen = look(end)) end += seen.length;
    return end == at ? 0 : end;
  }

  std::size_t contraction(std::size_t at) const {
    if (!options_.contractions || at >= text_.size() || text_[at] != '\'') return at;
    return end_of_contraction(text_, at, options_.ascii_contractions);
  }

  std::size_t numbers(std::size_t at) const {
    for (std::size_t count = 0; count < options_.max_numbers && at < text_.size(); ++count) {
      const auto [code_point, length] = unicode::character_at(text_, at);
      if (!unicode::is_number(code_point)) break;
      at += length;
    }
    return at;
  }

  // [^\s\p{L}\p{N}]+[\r\n/]* at `at`, or 0.
  std::size_t signs(std::size_t at) const {
    std::size_t end = at;
    while (end < text_.size()) {
      const auto [code_point, length] = unicode::character_at(text_, end);
      if (unicode::classify(code_point) != Class::other) break;
      end += length;
    }
    if (end == at) return 0;
    while (end < text_.size() && (text_[end] == '\r' || text_[end] == '\n' || text_[end] == '/')) ++end;
    return end;
  }

  // Spaces: up to the last line break of the run where it has one; else the last stays with what follows.
  std::size_t spaces(std::size_t at) const {
    std::size_t end = at;
    std::size_t before_last = at;
    std::size_t after_newline = 0;
    while (end < text_.size()) {
      const auto [code_point, length] = unicode::character_at(text_, end);
      if (!unicode::is_space(code_point)) break;
      before_last = end;
      end += length;
      if (code_point == '\r' || code_point == '\n') after_newline = end;
    }
    if (after_newline != 0) return after_newline;
    if (end == at) return at + unicode::sequence_length(text_[at]);  // no such character; still, get on
    return end == text_.size() || before_last == at ? end : before_last;
  }

  std::string_view text_;
  const O200k& options_;
};

}  // namespace

void split_o200k(std::string_view text, const O200k& options, PieceSink sink) {
  const Splitter splitter(text, options);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = splitter.next(at);
    sink(text.substr(at, end - at));
    at = end;
  }
}

}  // namespace powerhouse
