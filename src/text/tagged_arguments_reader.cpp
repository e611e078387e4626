// Reads arguments that stand between marks: each is of the type that its schema tells, else that its marks tell, else
// what it reads as.
#include <algorithm>
#include <cmath>
#include <optional>

#include "powerhouse/error.h"
#include "text/marked_text.h"

namespace powerhouse {
namespace {

class TaggedReader : MarkedText {
 public:
  TaggedReader(const ToolCallFormat::Impl& format, std::string_view text, std::size_t at)
      : MarkedText(text, at), format_(format) {}

  Json run(const Json& parameters) {
    const Json* const properties = parameters.get("properties");
    JsonObject out;
    while (true) {
      const std::size_t closed = after(format_.call_close, at_);
      if (closed != kNone && !trimmed(format_.call_close).empty() && format_.key_open.empty()) break;
      const std::string separator = out.size() == 0 ? std::string() : format_.pair_separator;
      const std::size_t key = after(separator + format_.key_open, at_);
      if (key == kNone) break;
      const std::size_t begin = skip_blanks(key), end = skip_word(begin);
      if (end == begin) break;
      const std::string name(text_.substr(begin, end - begin));
      const Json* const schema = properties == nullptr ? nullptr : properties->get(name);
      out[name] = value_at(end, name, schema == nullptr ? ValueTypes().set() : value_types(*schema, parameters));
    }
    return out;
  }

  std::size_t at() const { return at_; }

 private:
  Json value_at(std::size_t key_end, std::string_view key, ValueTypes wanted) {
    std::size_t best = kNone;
    const ValueMarks* marks = nullptr;
    const auto consider = [&](ValueTypes types) {
      for (std::size_t i = 0; i < kValueTypes; ++i) {
        const ValueMarks& one = format_.values[i];
        const std::size_t begin = one.known && types.test(i) ? after(one.key_close, key_end) : kNone;
        if (begin == kNone || (marks != nullptr && one.key_close.size() <= marks->key_close.size())) continue;
        best = begin;
        marks = &one;
      }
    };
    ValueTypes known;
    for (std::size_t i = 0; i < kValueTypes; ++i) known[i] = format_.values[i].known;
    if ((wanted & known).none()) {
      throw Error(ErrorKind::unsupported, "the template writes values of this type in a way that is not understood",
                  {.field = std::string(key)});
    }
    consider(wanted);
    if (marks == nullptr) consider(known);
    if (marks == nullptr) fail("a key that is not followed by a value", key_end);
    return value_between(best, *marks, wanted, key);
  }

  /// An array or object in a notation of the template's own, with what closes it.
  std::optional<Json> notated(std::size_t begin, const ValueMarks& marks, ValueTypes wanted, std::string_view close) {
    std::size_t at = skip_blanks(begin);
    const char sign = at < text_.size() ? text_[at] : ' ';
    const ValueType type = sign == '[' ? ValueType::array : ValueType::object;
    if ((sign != '[' && sign != '{') || !has(wanted, type) || (marked_string(marks) && has(wanted, ValueType::string)))
      return {};
    const ValueMarks& own = format_.marks(type);
    if (!own.known || own.notation == ValueNotation{}) return {};
    auto value = read_value(own.notation, text_, at);
    const std::size_t end = value ? after(close, at) : kNone;
    if (end == kNone) return {};
    at_ = end;
    return value;
  }

  // Strings keep their blanks, but for those that the template writes around them.
  Json value_between(std::size_t begin, const ValueMarks& marks, ValueTypes wanted, std::string_view key) {
    const std::string_view opening = marks.key_close;
    const std::string_view behind = opening.substr(opening.find_last_not_of(kBlanks) + 1);
    if (text_.substr(begin, behind.size()) == behind) begin += behind.size();
    const bool own = !marks.value_close.empty();
    std::string close = own ? marks.value_close : following_mark();
    for (std::size_t i = close.find(kKeyHole); i != kNone; i = close.find(kKeyHole)) close.replace(i, 1, key);
    if (auto value = notated(begin, marks, wanted, own ? close : std::string())) return *value;
    if (!own && wanted != only(ValueType::string)) {
      at_ = scalar_end(begin);
      if (at_ == kNone) fail("a value that does not end", begin);
      return typed(text_.substr(begin, at_ - begin), marks, wanted);
    }
    const std::string_view solid = trimmed(close);
    const std::string_view before = std::string_view(close).substr(0, close.find_first_not_of(kBlanks));
    std::size_t end = solid.empty() ? kNone : text_.find(solid, begin);
    if (end == kNone) fail("a value that does not end", begin);
    const auto next = [&](std::size_t at) { return own ? at + solid.size() : at; };
    for (std::size_t at = end; at != kNone; at = text_.find(solid, at + 1)) {
      if (!goes_on(next(at))) continue;
      end = at;
      break;
    }
    at_ = next(end);
    std::string_view value = text_.substr(begin, end - begin);
    if (value.ends_with(before)) value.remove_suffix(before.size());
    return typed(value, marks, wanted);
  }

  /// Whether what stands behind a value is another argument, or the end of the call: what closes a value may stand in
  /// it too.
  bool goes_on(std::size_t at) {
    if (after(format_.call_close, at) != kNone && !trimmed(format_.call_close).empty()) return true;
    const std::size_t key = after(format_.pair_separator + format_.key_open, at);
    if (key == kNone) return false;
    const std::size_t begin = skip_blanks(key), end = skip_word(begin);
    if (end == begin) return false;
    return std::any_of(format_.values.begin(), format_.values.end(),
                       [&](const ValueMarks& one) { return one.known && after(one.key_close, end) != kNone; });
  }

  /// What stands behind a value that has no mark of its own.
  std::string following_mark() const {
    return format_.pair_separator.empty() ? format_.call_close : format_.pair_separator;
  }

  std::size_t scalar_end(std::size_t at) const {
    if (at < text_.size() && (text_[at] == '{' || text_[at] == '[')) return json_end(text_, at);
    const std::size_t end = text_.find_first_of(",)}]<\n", at);
    return end == kNone ? text_.size() : end;
  }

  Json typed(std::string_view value, const ValueMarks& marks, ValueTypes wanted) const {
    const bool strings = has(wanted, ValueType::string);
    if (wanted == only(ValueType::string) || (strings && marked_string(marks))) return std::string(value);
    const std::string_view solid = trimmed(value);
    for (const ValueMarks& one : format_.values) {
      for (const Json& word : {Json(true), Json(false), Json()}) {
        if (solid == written(one.notation, word) && (!strings || takes(wanted, word))) return word;
      }
    }
    try {
      const Json parsed = Json::parse(solid, "value");
      if (parsed.is_string() ? wanted.all() : (!strings || takes(wanted, parsed))) return parsed;
    } catch (const Error&) {
    }
    return std::string(value);
  }

  static bool takes(ValueTypes types, const Json& value) {
    if (has(types, type_of(value))) return true;
    return value.is_number() && (has(types, ValueType::number) || (has(types, ValueType::integer) &&
                                                                   std::trunc(value.as_double()) == value.as_double()));
  }

  /// Whether marks are those of strings, and of nothing else.
  bool marked_string(const ValueMarks& marks) const {
    const ValueMarks& strings = format_.marks(ValueType::string);
    const ValueMarks& numbers = format_.marks(ValueType::integer);
    return marks.same_marks(strings) && numbers.known && !numbers.same_marks(strings);
  }

  const ToolCallFormat::Impl& format_;
};

}  // namespace

Json read_tagged_arguments(const ToolCallFormat::Impl& format, std::string_view text, std::size_t& at,
                           const Json& parameters) {
  TaggedReader reader(format, text, at);
  Json arguments = reader.run(parameters);
  at = reader.at();
  return arguments;
}

}  // namespace powerhouse
