#include "text/pre_tokenizer_steps.h"

#include <algorithm>

#include "text/tokenizers_unicode.h"
#include "text/unicode.h"

namespace powerhouse {
namespace {

struct Stretch {
  MatchRange range;
  bool matched = false;
};

// The text as stretches that match and stretches between; `invert` exchanges the two.
std::vector<Stretch> stretches(const std::vector<MatchRange>& matches, std::size_t size, bool invert) {
  std::vector<Stretch> out;
  std::size_t done = 0;
  for (const MatchRange& match : matches) {
    if (match.start != done) out.push_back({{done, match.start}, invert});
    out.push_back({match, !invert});
    done = match.end;
  }
  if (done != size) out.push_back({{done, size}, invert});
  return out;
}

void give(std::string_view text, const std::vector<Stretch>& all, SplitBehavior behavior, PieceSink sink) {
  std::vector<MatchRange> pieces;
  const auto join_or_add = [&](bool join, const MatchRange& range) {
    if (join && !pieces.empty()) {
      pieces.back() = {std::min(pieces.back().start, range.start), std::max(pieces.back().end, range.end)};
    } else {
      pieces.push_back(range);
    }
  };
  bool previous = false;
  const auto walk = [&](auto first, auto last, auto joins) {
    for (auto at = first; at != last; ++at) {
      join_or_add(joins(at->matched), at->range);
      previous = at->matched;
    }
  };
  switch (behavior) {
    case SplitBehavior::removed:
      for (const Stretch& stretch : all) {
        if (!stretch.matched) pieces.push_back(stretch.range);
      }
      break;
    case SplitBehavior::isolated:
      for (const Stretch& stretch : all) pieces.push_back(stretch.range);
      break;
    case SplitBehavior::contiguous:
      walk(all.begin(), all.end(), [&](bool matched) { return matched == previous; });
      break;
    case SplitBehavior::merged_with_previous:
      walk(all.begin(), all.end(), [&](bool matched) { return matched && !previous; });
      break;
    case SplitBehavior::merged_with_next:
      walk(all.rbegin(), all.rend(), [&](bool matched) { return matched && !previous; });
      std::reverse(pieces.begin(), pieces.end());
      break;
  }
  for (const MatchRange& piece : pieces) {
    if (piece.start != piece.end) sink(text.substr(piece.start, piece.end - piece.start));
  }
}

// Pieces at single characters, without a list of them where the behavior looks at no neighbour but the last.
template <typename Wanted>
void cut(std::string_view text, SplitBehavior behavior, PieceSink sink, Wanted wanted) {
  std::size_t start = 0;
  bool previous = false;  // whether the character before matched
  const auto end_piece = [&](std::size_t end) {
    if (start < end) sink(text.substr(start, end - start));
    start = end;
  };
  for (std::size_t at = 0; at < text.size();) {
    const auto [code_point, length] = unicode::character_at(text, at);
    const bool matched = wanted(code_point);
    const std::size_t next = at + length;
    switch (behavior) {
      case SplitBehavior::removed:
        if (matched) {
          end_piece(at);
          start = next;
        }
        break;
      case SplitBehavior::isolated:
        if (matched || previous) end_piece(at);
        break;
      case SplitBehavior::contiguous:
        if (matched != previous) end_piece(at);
        break;
      case SplitBehavior::merged_with_previous:
        if (previous) end_piece(at);
        break;
      case SplitBehavior::merged_with_next:
        if (matched) end_piece(at);
        break;
    }
    previous = matched;
    at = next;
  }
  end_piece(text.size());
}

}  // namespace

void PatternStep::split(std::string_view text, PieceSink sink) const {
  give(text, stretches(pattern_.find_all(text), text.size(), invert_), behavior_, sink);
}

void CharacterStep::split(std::string_view text, PieceSink sink) const {
  switch (wanted_.kind) {
    case CharacterClass::Kind::one: return cut(text, behavior_, sink, [&](char32_t c) { return c == wanted_.one; });
    case CharacterClass::Kind::space: return cut(text, behavior_, sink, unicode::is_space);
    case CharacterClass::Kind::punctuation: return cut(text, behavior_, sink, tokenizers_unicode::is_punctuation);
  }
}

void WordsStep::split(std::string_view text, PieceSink sink) const {
  enum class Class { space, word, other };
  const auto classify = [](char32_t c) {
    return unicode::is_word(c) ? Class::word : unicode::is_space(c) ? Class::space : Class::other;
  };
  std::size_t start = 0;
  Class current = Class::space;
  for (std::size_t at = 0; at < text.size();) {
    const auto [code_point, length] = unicode::character_at(text, at);
    const Class found = classify(code_point);
    if (found != current) {
      if (current != Class::space) sink(text.substr(start, at - start));
      start = at;
      current = found;
    }
    at += length;
  }
  if (current != Class::space) sink(text.substr(start));
}

void ScriptsStep::split(std::string_view text, PieceSink sink) const {
  std::optional<std::size_t> start;
  std::uint32_t last = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto [code_point, length] = unicode::character_at(text, at);
    const std::uint32_t script = tokenizers_unicode::script(code_point);
    if (script != 0 && script != last) {
      if (start) sink(text.substr(*start, at - *start));
      start = at;
      last = script;
    }
    at += length;
  }
  if (start) sink(text.substr(*start));
}

void FixedLengthStep::split(std::string_view text, PieceSink sink) const {
  std::size_t start = 0;
  std::size_t count = 0;
  for (std::size_t at = 0; at < text.size();) {
    at += unicode::sequence_length(text[at]);
    if (++count < length_ && at < text.size()) continue;
    sink(text.substr(start, at - start));
    start = at;
    count = 0;
  }
}

}  // namespace powerhouse
