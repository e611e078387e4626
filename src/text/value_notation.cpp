#include "text/value_notation.h"

#include <charconv>

#include "powerhouse/error.h"
#include "support/utf8.h"
#include "text/python_unicode.h"

namespace powerhouse {
namespace {

constexpr std::string_view kSpaces = " \n\r\t";
constexpr int kMostDepth = 200;  // as Json::parse has it

// ---- writing ----

std::string hex_escape(char32_t character) {
  const bool byte = character <= 0xFF, unit = character <= 0xFFFF;
  const std::size_t digits = byte ? 2 : unit ? 4 : 8;
  std::string out = byte ? "\\x" : unit ? "\\u" : "\\U";
  char text[8];
  const auto end = std::to_chars(text, text + sizeof text, static_cast<std::uint32_t>(character), 16).ptr;
  out.append(digits - static_cast<std::size_t>(end - text), '0');
  return out.append(text, end);
}

std::string python_string(std::string_view text) {
  const bool apostrophe = text.find('\'') != std::string_view::npos, quote = text.find('"') != std::string_view::npos;
  const char around = apostrophe && !quote ? '"' : '\'';
  std::string out(1, around);
  while (!text.empty()) {
    const Utf8Step step = decode_utf8(text);
    text.remove_prefix(step.length);
    const char32_t c = step.code_point;
    if (c == '\\' || c == static_cast<char32_t>(around)) {
      out += {'\\', static_cast<char>(c)};
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (python_unicode::is_printable(c)) {
      append_utf8(out, c);
    } else {
      out += hex_escape(c);
    }
  }
  return out + around;
}

std::string string_of(const ValueNotation& notation, const std::string& text) {
  switch (notation.strings) {
    case ValueNotation::Strings::json: return Json(text).dump();
    case ValueNotation::Strings::python: return python_string(text);
    case ValueNotation::Strings::marked: break;
  }
  return notation.open + text + notation.close;
}

// ---- reading ----

class Reader {
 public:
  Reader(const ValueNotation& notation, std::string_view text, std::size_t at)
      : notation_(notation), text_(text), at_(at) {}

  std::size_t at() const { return at_; }

  std::optional<Json> value(int depth = 0) {
    skip_blanks();
    if (depth > kMostDepth || at_ >= text_.size()) return std::nullopt;
    if (auto text = string()) return Json(std::move(*text));
    if (text_[at_] == '[') return array(depth);
    if (text_[at_] == '{') return object(depth);
    return scalar();
  }

 private:
  void skip_blanks() {
    while (at_ < text_.size() && kSpaces.find(text_[at_]) != std::string_view::npos) ++at_;
  }
  bool take(std::string_view mark) {
    if (text_.substr(at_, mark.size()) != mark) return false;
    at_ += mark.size();
    return true;
  }
  bool take_sign(char sign) {
    skip_blanks();
    return take({&sign, 1});
  }

  /// Nothing, and `at_` as it was, where no whole string stands there.
  std::optional<std::string> string() {
    const std::size_t begin = at_;
    std::optional<std::string> out;
    if (notation_.strings == ValueNotation::Strings::marked && take(notation_.open)) {
      const std::size_t end = text_.find(notation_.close, at_);
      if (end != std::string_view::npos) {
        out = std::string(text_.substr(at_, end - at_));
        at_ = end + notation_.close.size();
      }
    } else if (notation_.strings == ValueNotation::Strings::python && (take("'") || take("\""))) {
      out = python(text_[at_ - 1]);
    } else if (take("\"")) {
      out = json(begin);
    }
    if (!out) at_ = begin;
    return out;
  }

  std::optional<std::string> json(std::size_t begin) {
    while (at_ < text_.size() && text_[at_] != '"') at_ += text_[at_] == '\\' ? 2 : 1;
    if (at_ >= text_.size()) return std::nullopt;
    ++at_;
    try {
      return Json::parse(text_.substr(begin, at_ - begin), "string").as_string();
    } catch (const Error&) {
      return std::nullopt;
    }
  }

  /// A code point in digits of `base`.
  bool digits(std::string& out, std::size_t low, std::size_t high, int base) {
    std::uint32_t code = 0;
    const std::string_view all = text_.substr(at_, high);
    const auto read = std::from_chars(all.data(), all.data() + all.size(), code, base);
    const auto size = static_cast<std::size_t>(read.ptr - all.data());
    if (size < low || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return false;
    append_utf8(out, code);
    at_ += size;
    return true;
  }

  bool escape(std::string& out) {
    if (at_ >= text_.size()) return false;
    const char sign = text_[at_++];
    constexpr std::string_view kSigns = "abfnrtv\\'\"/", kMeanings = "\a\b\f\n\r\t\v\\'\"/";
    if (const std::size_t i = kSigns.find(sign); i != std::string_view::npos) return out += kMeanings[i], true;
    switch (sign) {
      case '\n': return true;
      case 'x': return digits(out, 2, 2, 16);
      case 'u': return digits(out, 4, 4, 16);
      case 'U': return digits(out, 8, 8, 16);
      default: return --at_, digits(out, 1, 3, 8);
    }
  }

  std::optional<std::string> python(char end) {
    std::string out;
    while (at_ < text_.size() && text_[at_] != end) {
      const char c = text_[at_++];
      if (c != '\\') {
        out += c;
      } else if (!escape(out)) {
        return std::nullopt;
      }
    }
    if (!take({&end, 1})) return std::nullopt;
    return out;
  }

  std::optional<Json> array(int depth) {
    Json::Array out;
    ++at_;
    while (!take_sign(']')) {
      if (!out.empty() && !take_sign(',')) return std::nullopt;
      auto element = value(depth + 1);
      if (!element) return std::nullopt;
      out.push_back(std::move(*element));
    }
    return Json(std::move(out));
  }

  std::optional<std::string> key() {
    skip_blanks();
    if (auto text = string()) return text;
    if (!notation_.bare_keys) return std::nullopt;
    const std::size_t begin = at_;
    while (at_ < text_.size() && is_key_character(static_cast<unsigned char>(text_[at_]))) ++at_;
    std::string_view name = text_.substr(begin, at_ - begin);
    name.remove_suffix(name.size() - (name.find_last_not_of(kSpaces) + 1));
    return name.empty() ? std::nullopt : std::optional<std::string>(name);
  }

  std::optional<Json> object(int depth) {
    JsonObject out;
    ++at_;
    while (!take_sign('}')) {
      if (out.size() != 0 && !take_sign(',')) return std::nullopt;
      const auto name = key();
      if (!name || !take_sign(':')) return std::nullopt;
      auto member = value(depth + 1);
      if (!member) return std::nullopt;
      out[*name] = std::move(*member);
    }
    return Json(std::move(out));
  }

  std::optional<Json> scalar() {
    const std::size_t end = std::min(text_.find_first_of(",:]})<\n \t", at_), text_.size());
    const std::string_view word = text_.substr(at_, end - at_);
    at_ = end;
    if (word == notation_.yes) return Json(true);
    if (word == notation_.no) return Json(false);
    if (word == notation_.none) return Json();
    try {
      Json out = Json::parse(word, "value");
      return out;
    } catch (const Error&) {
      return std::nullopt;
    }
  }

  const ValueNotation& notation_;
  std::string_view text_;
  std::size_t at_;
};

}  // namespace

bool is_key_character(char32_t character) {
  constexpr std::u32string_view kSigns = U",:{}[]()<>\"'\n\r\t";
  return kSigns.find(character) == std::u32string_view::npos;
}

std::string written(const ValueNotation& notation, const Json& value) {
  const std::string_view comma = notation.spaced ? ", " : ",", colon = notation.spaced ? ": " : ":";
  if (value.is_null()) return notation.none;
  if (value.is_bool()) return value.as_bool() ? notation.yes : notation.no;
  if (value.is_string()) return string_of(notation, value.as_string());
  if (value.is_number()) return value.dump();
  std::string out(value.is_array() ? "[" : "{");
  const auto separate = [&] {
    if (out.size() > 1) out += comma;
  };
  if (value.is_array()) {
    for (const Json& element : value.as_array()) separate(), out += written(notation, element);
    return out + "]";
  }
  for (const auto& [key, member] : value.as_object()) {
    separate();
    out += notation.bare_keys ? key : string_of(notation, key);
    out.append(colon).append(written(notation, member));
  }
  return out + "}";
}

std::optional<Json> read_value(const ValueNotation& notation, std::string_view text, std::size_t& at) {
  Reader reader(notation, text, at);
  auto out = reader.value();
  if (out) at = reader.at();
  return out;
}

}  // namespace powerhouse
