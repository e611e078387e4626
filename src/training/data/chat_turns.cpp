// Finds turns by changing one at a time.
#include "training/data/chat_turns.h"

#include <algorithm>

#include "powerhouse/error.h"

namespace powerhouse::training {
namespace {

// A text that differs from `content` in its first and its last character, blanks aside: so the comparison can neither
// begin late nor end early, whether the template trims or not.
std::string other_text(std::string_view content) {
  constexpr std::string_view kBlanks = " \t\r\n\f\v";
  const std::size_t first = content.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return "#other#";
  const char front = content[first], back = content[content.find_last_not_of(kBlanks)];
  std::string text = "#other#";
  for (const char mark : {'#', '@', '%'}) {
    if (mark != front && mark != back) {
      text.front() = text.back() = mark;
      break;
    }
  }
  return text;
}

bool inside_character(std::string_view text, std::size_t at) {
  return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
}

// The part of `text` that is not the same in `other`; nothing where `other` does not show its own part.
std::optional<TextSpan> difference(std::string_view text, std::string_view other, std::string_view shown) {
  const std::size_t shorter = std::min(text.size(), other.size());
  std::size_t front = 0, back = 0;
  while (front < shorter && text[front] == other[front]) ++front;
  while (back < shorter - front && text[text.size() - 1 - back] == other[other.size() - 1 - back]) ++back;
  if (other.substr(front, other.size() - back - front).find(shown) == std::string_view::npos) return std::nullopt;
  TextSpan span{front, text.size() - back};
  while (inside_character(text, span.begin)) --span.begin;
  while (inside_character(text, span.end)) ++span.end;
  return span;
}

}  // namespace

std::optional<TextSpan> find_turn(const ChatTemplate& chat_template, const Json::Array& messages, std::size_t turn,
                                  std::string_view text, const RenderOptions& options) {
  const Json* const content = messages[turn].get("content");
  const std::string shown = other_text(content != nullptr && content->is_string() ? content->as_string() : "");
  JsonObject other;
  other["role"] = messages[turn].at("role");
  other["content"] = shown;
  Json::Array changed = messages;
  changed[turn] = Json(std::move(other));
  try {
    return difference(text, chat_template.render(Json(changed).dump(), options), shown);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::format) throw;
  }
  // The template refuses the rest of the conversation without this turn (an answer to calls that are gone): so only up
  // to it, where that much is the beginning of the whole.
  changed.resize(turn + 1);
  const Json::Array beginning(messages.begin(), messages.begin() + static_cast<std::ptrdiff_t>(turn) + 1);
  const std::string begun = chat_template.render(Json(beginning).dump(), options);
  const auto span = difference(begun, chat_template.render(Json(changed).dump(), options), shown);
  if (span && text.substr(0, span->end) != std::string_view(begun).substr(0, span->end)) return std::nullopt;
  return span;
}

TextSpan tokens_of(std::span<const TokenOffsets> byte_offsets, TextSpan span) {
  TextSpan tokens{byte_offsets.size(), byte_offsets.size()};
  for (std::size_t i = 0; i < byte_offsets.size(); ++i) {
    const auto [begin, end] = byte_offsets[i];
    if (begin >= span.end || end <= span.begin || begin == end) continue;
    if (tokens.begin == byte_offsets.size()) tokens.begin = i;
    tokens.end = i + 1;
  }
  if (tokens.begin == byte_offsets.size()) tokens.end = tokens.begin;
  return tokens;
}

}  // namespace powerhouse::training
