#include "text/gguf_splitters.h"

#include <algorithm>
#include <vector>

#include "text/seen_character.h"
#include "text/splitters.h"
#include "text/unicode.h"

namespace powerhouse {
namespace {

using unicode::Class;

using Seen = SeenCharacter;

template <typename Wanted>
std::size_t skip_while(std::string_view text, std::size_t at, Wanted wanted) {
  for (Seen seen = look(text, at); seen.length != 0 && wanted(seen); seen = look(text, at)) at += seen.length;
  return at;
}

// Blocks of ideographs, assigned or not.
bool is_han(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2EBEF) || (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}
bool is_han_character(const Seen& seen) { return is_han(seen.code_point); }
bool is_letter(const Seen& seen) { return seen.is(Class::letter) && !is_han(seen.code_point); }

// The run of spaces at `at`: up to its last line break, else without its last space where other text follows.
std::size_t end_of_spaces(std::string_view text, std::size_t at) {
  std::size_t end = at;
  std::size_t before_last = at;
  std::size_t after_newline = 0;
  for (Seen seen = look(text, end); seen.is(Class::space); seen = look(text, end)) {
    before_last = end;
    end += seen.length;
    if (seen.is_newline()) after_newline = end;
  }
  if (after_newline != 0) return after_newline;
  return end == text.size() || before_last == at ? end : before_last;
}

std::size_t next_kimi_k2(std::string_view text, std::size_t at) {
  const Seen first = look(text, at);
  if (is_han(first.code_point)) return skip_while(text, at, is_han_character);
  const Seen second = look(text, at + first.length);
  const bool opens = !first.is_newline() && !first.is(Class::letter) && !first.is(Class::number);
  if (is_letter(first) || (opens && is_letter(second))) {
    const std::size_t end = skip_while(text, at + first.length, is_letter);
    return end < text.size() && text[end] == '\'' ? end_of_contraction(text, end, true) : end;
  }
  if (first.is(Class::number)) {
    std::size_t end = at;
    for (int count = 0; count < 3; ++count) {
      const Seen seen = look(text, end);
      if (!seen.is(Class::number)) break;
      end += seen.length;
    }
    return end;
  }
  if (first.is(Class::other) || (first.code_point == ' ' && second.is(Class::other))) {
    const auto other = [](const Seen& seen) { return seen.is(Class::other); };
    const std::size_t end = skip_while(text, at + first.length, other);
    return skip_while(text, end, [](const Seen& seen) { return seen.is_newline(); });
  }
  return std::max(end_of_spaces(text, at), at + first.length);
}

}  // namespace

void split_kimi_k2(std::string_view text, PieceSink sink) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = next_kimi_k2(text, at);
    sink(text.substr(at, end - at));
    at = end;
  }
}

void split_number_groups(std::string_view text, PieceSink sink) {
  std::size_t start = 0;
  const auto cut = [&](std::size_t end) {
    if (start < end) sink(text.substr(start, end - start));
    start = end;
  };
  std::vector<std::size_t> ends;  // of the numbers of a run
  for (std::size_t at = 0; at < text.size();) {
    ends.clear();
    for (Seen seen = look(text, at); seen.is(Class::number); seen = look(text, at)) ends.push_back(at += seen.length);
    for (std::size_t count = ends.size() % 3 == 0 ? 3 : ends.size() % 3; count <= ends.size(); count += 3) {
      if (count > 0) cut(ends[count - 1]);
    }
    if (const Seen seen = look(text, at); seen.length != 0) at += seen.length;
  }
  cut(text.size());
}

void split_thousands(std::string_view text, PieceSink sink) {
  const auto is_digit = [&](std::size_t at) { return text[at] >= '0' && text[at] <= '9'; };
  std::size_t start = 0;
  for (std::size_t at = 0; at < text.size();) {
    if (!is_digit(at)) {
      ++at;
      continue;
    }
    std::size_t end = at;
    while (end < text.size() && is_digit(end)) ++end;
    for (at += (end - at) % 3; at < end; at += 3) {
      if (start < at) sink(text.substr(start, at - start));
      start = at;
    }
    at = end;
  }
  if (start < text.size()) sink(text.substr(start));
}

void split_newlines(std::string_view text, PieceSink sink) {
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = text[at] == '\n' ? text.find_first_not_of('\n', at) : text.find('\n', at);
    end = std::min(end, text.size());
    sink(text.substr(at, end - at));
    at = end;
  }
}

}  // namespace powerhouse
