#include "text/splitters.h"

#include "text/seen_character.h"
#include "text/unicode.h"

namespace powerhouse {
namespace {

using unicode::Class;

using Seen = SeenCharacter;

// The end of the run of `kind` that starts at `at`.
std::size_t skip(std::string_view text, std::size_t at, Class kind) {
  for (Seen seen = look(text, at); seen.is(kind); seen = look(text, at)) at += seen.length;
  return at;
}

// The end of a contraction whose apostrophe is at `at`, or `at`.
std::size_t skip_contraction(std::string_view text, std::size_t at) {
  const std::string_view rest = text.substr(at + 1, 2);
  if (rest.empty()) return at;
  if (rest[0] == 's' || rest[0] == 't' || rest[0] == 'm' || rest[0] == 'd') return at + 2;
  return rest == "re" || rest == "ve" || rest == "ll" ? at + 3 : at;
}

// \s+(?!\S)|\s+ on the run of spaces from `at` to `end`: before other text the last space stays with what follows.
std::size_t end_of_spaces(std::string_view text, std::size_t at, std::size_t end) {
  if (end == text.size()) return end;
  const std::size_t last = unicode::previous_boundary(text, end);
  return last == at ? end : last;
}

std::size_t next_gpt2(std::string_view text, std::size_t at) {
  const Seen first = look(text, at);
  if (first.code_point == '\'') {
    const std::size_t end = skip_contraction(text, at);
    if (end != at) return end;
  }
  if (first.kind != Class::space) return skip(text, at + first.length, first.kind);
  if (first.code_point == ' ') {
    const Seen second = look(text, at + 1);
    if (second.length != 0 && second.kind != Class::space) return skip(text, at + 1 + second.length, second.kind);
  }
  return end_of_spaces(text, at, skip(text, at + first.length, Class::space));
}

// Marks as letters: what the lambdas of next_cl100k look at then.
Seen look_with_marks(std::string_view text, std::size_t at) {
  Seen seen = look(text, at);
  const unicode::Category category = unicode::category(seen.code_point);
  if (seen.length != 0 && category >= unicode::kMn && category <= unicode::kMe) seen.kind = Class::letter;
  return seen;
}

template <Seen (*look)(std::string_view, std::size_t)>
std::size_t next_cl100k(std::string_view text, std::size_t at, const Cl100k& options) {
  const auto skip = [&](std::string_view, std::size_t from, Class kind) {
    for (Seen seen = look(text, from); seen.is(kind); seen = look(text, from)) from += seen.length;
    return from;
  };
  const Seen first = look(text, at);
  if (first.code_point == '\'') {
    const std::size_t end = end_of_contraction(text, at, options.ascii_contractions);
    if (end != at) return end;
  }
  std::size_t end = at + first.length;
  if (first.kind == Class::letter) return skip(text, end, Class::letter);
  if (first.kind == Class::number) {
    for (std::size_t count = 1; count < options.max_numbers; ++count) {
      const Seen next = look(text, end);
      if (!next.is(Class::number)) break;
      end += next.length;
    }
    return end;
  }
  const Seen second = look(text, end);
  if (!first.is_newline() && second.is(Class::letter)) return skip(text, end + second.length, Class::letter);
  if (first.kind == Class::other || (first.code_point == ' ' && second.is(Class::other))) {
    end = skip(text, end, Class::other);
    while (end < text.size() && (text[end] == '\r' || text[end] == '\n')) ++end;
    return end;
  }
  // Spaces: up to the last line break of the run where it has one.
  std::size_t after_newline = first.is_newline() ? end : 0;
  for (Seen seen = second; seen.is(Class::space); seen = look(text, end)) {
    end += seen.length;
    if (seen.is_newline()) after_newline = end;
  }
  if (options.whole_trailing_spaces && end == text.size()) return end;
  return after_newline != 0 ? after_newline : end_of_spaces(text, at, end);
}

struct Spelling {
  std::string_view pattern;
  KnownPattern known;
};

constexpr KnownPattern kKnownGpt2{};
constexpr KnownPattern known_cl100k(std::size_t max_numbers) {
  return {KnownPattern::Kind::cl100k, max_numbers, false};
}

constexpr Spelling kSpellings[] = {
    {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", kKnownGpt2},
    {R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", kKnownGpt2},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     known_cl100k(3)},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     known_cl100k(1)},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     known_cl100k(Cl100k::kUnlimited)},
};

}  // namespace

void split_gpt2(std::string_view text, PieceSink sink) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = next_gpt2(text, at);
    sink(text.substr(at, end - at));
    at = end;
  }
}

std::size_t end_of_contraction(std::string_view text, std::size_t at, bool ascii) {
  const std::string_view rest = text.substr(at + 1, 2);
  if (!ascii && rest == "\xC5\xBF") return at + 3;  // U+017F, the long s, folds to s as well
  const auto lower = [&](std::size_t i) { return i < rest.size() ? static_cast<char>(rest[i] | 0x20) : '\0'; };
  const char first = lower(0);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
  const bool two =
      (first == 'r' && lower(1) == 'e') || (first == 'v' && lower(1) == 'e') || (first == 'l' && lower(1) == 'l');
  return two ? at + 3 : at;
}

void split_cl100k(std::string_view text, const Cl100k& options, PieceSink sink) {
  const auto next = options.marks ? next_cl100k<look_with_marks> : next_cl100k<look>;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = next(text, at, options);
    sink(text.substr(at, end - at));
    at = end;
  }
}

std::size_t KnownPattern::contraction(std::string_view text, std::size_t at) const {
  return (kind == Kind::gpt2 ? skip_contraction(text, at) : end_of_contraction(text, at, ascii_contractions)) - at;
}

void split_digits(std::string_view text, bool individual, PieceSink sink) {
  std::size_t start = 0;
  bool in_numbers = false;
  for (std::size_t at = 0; at < text.size();) {
    const auto [code_point, length] = unicode::character_at(text, at);
    const bool number = unicode::is_number(code_point);
    if (at > start && (number != in_numbers || (number && individual))) {
      sink(text.substr(start, at - start));
      start = at;
    }
    in_numbers = number;
    at += length;
  }
  if (start < text.size()) sink(text.substr(start));
}

std::optional<KnownPattern> find_known_pattern(std::string_view pattern) {
  for (const Spelling& spelling : kSpellings) {
    if (spelling.pattern == pattern) return spelling.known;
  }
  return std::nullopt;
}

}  // namespace powerhouse
