#include "text/notation_learner.h"

#include <array>

#include "powerhouse/error.h"
#include "text/tool_call_format.h"
#include "text/tool_call_probe.h"

namespace powerhouse {
namespace {

/// What stands around the text in it.
std::optional<ValueNotation> quotes_of(const Json& value, std::string_view text, std::size_t from) {
  const std::size_t begin = text.find(value.is_object() ? '{' : '[', from);
  const std::size_t inner = begin == std::string_view::npos ? begin : text.find("qa", begin);
  const std::size_t comma = inner == std::string_view::npos ? inner : text.find(',', inner);
  if (comma == std::string_view::npos) return std::nullopt;
  std::string_view before = text.substr(begin + 1, inner - begin - 1);
  ValueNotation out;
  if (value.is_object()) {
    const std::size_t key = before.find("qk"), colon = key == std::string_view::npos ? key : before.find(':', key);
    if (colon == std::string_view::npos) return std::nullopt;
    out.bare_keys = trimmed(before.substr(0, key)).empty();
    before.remove_prefix(colon + 1);
  }
  out.open = trimmed(before);
  out.close = trimmed(text.substr(inner + 2, comma - inner - 2));
  if (out.open.empty() || out.close.empty()) return std::nullopt;
  out.strings = out.open == "'"    ? ValueNotation::Strings::python
                : out.open == "\"" ? ValueNotation::Strings::json
                                   : ValueNotation::Strings::marked;
  return out;
}

std::array<ValueNotation, 4> words_in(const ValueNotation& notation) {
  std::array<ValueNotation, 4> out{notation, notation, notation, notation};
  for (const std::size_t i : {1, 3}) out[i].none = "None";
  for (const std::size_t i : {2, 3}) out[i].yes = "True", out[i].no = "False";
  return out;
}

/// With the words and blanks with which it writes what the template writes of every kind of value; nothing where
/// there are none.
std::optional<ValueNotation> completed(ValueNotation notation, bool object,
                                       const std::function<std::optional<std::string>(const Json&)>& render) {
  const Json all(Json::Array{Json("qb \"c\" 'd'\n"), Json(true), Json(Json::Array{Json(false), Json()}),
                             json_object({{"qm", 1.5}, {"qn", Json::Array{}}})});
  const Json value = object ? json_object({{"qk", all}, {"ql", JsonObject()}}) : all;
  const auto text = render(value);
  if (!text) return std::nullopt;
  for (const bool bare : {false, true}) {  // of arrays, objects in them are the first that is seen
    if (object && bare != notation.bare_keys) continue;
    notation.bare_keys = bare;
    for (ValueNotation words : words_in(notation)) {
      for (const bool spaced : {true, false}) {
        words.spaced = spaced;
        if (text->find(written(words, value)) != std::string::npos) return words;
      }
    }
  }
  return std::nullopt;
}

}  // namespace

Json probe_array() { return Json(Json::Array{Json("qa"), Json(7)}); }
Json probe_object() { return json_object({{"qk", "qa"}, {"ql", 7}}); }

std::optional<TextPlace> place_of(std::string_view text, const Json& value, std::size_t from,
                                  const ValueNotation& notation) {
  const bool json = notation == ValueNotation{} && (value.is_object() || value.is_array());
  if (!json) {
    const std::string whole = written(notation, value);
    const std::size_t at = text.find(whole, from);
    return at == std::string_view::npos ? std::nullopt : std::optional(TextPlace{at, at + whole.size()});
  }
  const std::size_t at = text.find(value.is_object() ? '{' : '[', from);  // with blanks, or without
  const std::size_t end = at == std::string_view::npos ? at : json_end(text, at);
  if (end == std::string_view::npos) return std::nullopt;
  try {
    if (Json::parse(text.substr(at, end - at), "value").dump() == value.dump()) return TextPlace{at, end};
  } catch (const Error&) {
  }
  return std::nullopt;
}

std::optional<ValueNotation> learn_notation(const Json& value, std::string_view text, std::size_t from,
                                            const std::function<std::optional<std::string>(const Json&)>& render) {
  if (place_of(text, value, from, {})) return ValueNotation{};
  if (value.is_object() || value.is_array()) {
    const auto quotes = quotes_of(value, text, from);
    return quotes ? completed(*quotes, value.is_object(), render) : std::nullopt;
  }
  for (const ValueNotation& words : words_in({})) {
    if (place_of(text, value, from, words)) return words;
  }
  return std::nullopt;
}

}  // namespace powerhouse
