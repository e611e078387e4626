#include "constraints/raw_texts.h"

#include <algorithm>

#include "support/utf8.h"

namespace powerhouse::constraints {
namespace {

std::vector<char32_t> characters_of(std::string_view text) {
  std::vector<char32_t> out;
  while (!text.empty()) {
    const Utf8Step step = decode_utf8(text);
    out.push_back(step.code_point);
    text.remove_prefix(step.length);
  }
  return out;
}

}  // namespace

// The steps of Knuth, Morris and Pratt, without the last.
TextMachine texts_without(std::string_view mark) {
  const std::vector<char32_t> wanted = characters_of(mark);
  const std::size_t size = wanted.size();
  std::vector<std::size_t> back(size + 1, 0);  // the longest proper beginning that is an end, of each beginning
  for (std::size_t i = 1, k = 0; i < size; ++i) {
    while (k > 0 && wanted[i] != wanted[k]) k = back[k];
    if (wanted[i] == wanted[k]) ++k;
    back[i + 1] = k;
  }
  TextMachine machine;
  for (std::size_t i = 0; i < std::max<std::size_t>(size, 1); ++i) machine.add_state(true);
  for (std::size_t state = 0; state < size; ++state) {
    std::vector<CodePoints::Range> named;
    for (std::size_t k = state;; k = back[k]) {
      const char32_t character = wanted[k];
      bool known = false;
      for (const CodePoints::Range& range : named) known = known || range.low == character;
      if (!known) {
        named.push_back({character, character});
        if (k + 1 < size)
          machine.states[state].steps.push_back({CodePoints::of(character), static_cast<std::uint32_t>(k + 1)});
      }
      if (k == 0) break;
    }
    machine.states[state].steps.push_back({CodePoints(std::move(named)).complement(), 0});
  }
  if (size == 0) machine.states[0].steps.push_back({CodePoints::all(), 0});
  return machine;
}

TextMachine texts_not_beginning(char32_t character) {
  const CodePoints blanks({{'\t', '\n'}, {'\r', '\r'}, {' ', ' '}});
  TextMachine machine;
  const std::uint32_t begin = machine.add_state(true), rest = machine.add_state(true);
  machine.states[begin].steps.push_back({blanks, begin});
  machine.states[begin].steps.push_back(
      {CodePoints({{'\t', '\n'}, {'\r', '\r'}, {' ', ' '}, {character, character}}).complement(), rest});
  machine.states[rest].steps.push_back({CodePoints::all(), rest});
  return machine;
}

}  // namespace powerhouse::constraints
