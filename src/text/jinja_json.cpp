#include "text/jinja_json.h"

#include <algorithm>
#include <cmath>

#include "support/utf8.h"
#include "text/jinja_operators.h"
#include "text/jinja_strings.h"

namespace powerhouse::jinja {
namespace {

class JsonWriter {
 public:
  JsonWriter(Budget& budget, TextBuilder& out, const JsonFormat& format)
      : budget_(budget), out_(out), format_(format) {}

  void write(const Value& value, std::size_t level) {
    budget_.step();
    switch (value.kind()) {
      case Kind::none: return out_.append("null");
      case Kind::boolean: return out_.append(value.as_boolean() ? "true" : "false");
      case Kind::integer:
      case Kind::big_integer: return out_.append(integer_text(value));
      case Kind::real: return out_.append(number(value.as_real()));
      case Kind::string: return write_string(value.str());
      case Kind::list:
      case Kind::tuple: return write_list(value.items(), level);
      case Kind::dict: return write_dict(value.mapping(), level);
      default: fail("Object of type " + std::string(type_name(value)) + " is not JSON serializable");
    }
  }

 private:
  static std::string number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return float_repr(value);
  }

  void new_line(std::size_t level) {
    if (!format_.indented) return;
    out_.append('\n');
    out_.repeat(format_.indent, level);
  }

  void write_list(const Values& items, std::size_t level) {
    out_.append('[');
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_.append(format_.item_separator);
      new_line(level + 1);
      write(items[i], level + 1);
    }
    if (!items.empty()) new_line(level);
    out_.append(']');
  }

  void write_dict(const Mapping& mapping, std::size_t level) {
    std::vector<const std::pair<Value, Value>*> entries;
    entries.reserve(mapping.entries.size());
    for (const auto& entry : mapping.entries) entries.push_back(&entry);
    if (format_.sort_keys) {
      std::stable_sort(entries.begin(), entries.end(), [this](const auto* a, const auto* b) {
        return compare(budget_, CompareOperator::less, a->first, b->first);
      });
    }
    out_.append('{');
    bool first = true;
    for (const auto* entry : entries) {
      if (!first) out_.append(format_.item_separator);
      first = false;
      new_line(level + 1);
      write_key(entry->first);
      out_.append(format_.key_separator);
      write(entry->second, level + 1);
    }
    if (!first) new_line(level);
    out_.append('}');
  }

  void write_key(const Value& key) {
    switch (key.kind()) {
      case Kind::string: return write_string(key.str());
      case Kind::none: return write_string("null");
      case Kind::boolean: return write_string(key.as_boolean() ? "true" : "false");
      case Kind::integer:
      case Kind::big_integer: return write_string(integer_text(key));
      case Kind::real: return write_string(number(key.as_real()));
      default: fail("keys must be str, int, float, bool or None, not " + std::string(type_name(key)));
    }
  }

  void escape_unit(unsigned unit) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    out_.append("\\u");
    for (int shift = 12; shift >= 0; shift -= 4) out_.append(kDigits[unit >> shift & 0xF]);
  }

  void write_string(std::string_view text) {
    budget_.step_bytes(8 * text.size());
    out_.append('"');
    std::size_t plain = 0;  // the beginning of the run that needs no escape
    for (std::size_t at = 0; at < text.size();) {
      const auto byte = static_cast<unsigned char>(text[at]);
      const bool escapes = byte < 0x20 || byte == '"' || byte == '\\' || (format_.ensure_ascii && byte >= 0x7F);
      if (!escapes) {
        ++at;
        continue;
      }
      out_.append(text.substr(plain, at - plain));
      const Utf8Step step = decode_utf8(text.substr(at));
      budget_.step();
      write_escape(step.code_point);
      at += step.length;
      plain = at;
    }
    out_.append(text.substr(plain));
    out_.append('"');
  }

  void write_escape(char32_t c) {
    switch (c) {
      case '"': return out_.append("\\\"");
      case '\\': return out_.append("\\\\");
      case '\n': return out_.append("\\n");
      case '\r': return out_.append("\\r");
      case '\t': return out_.append("\\t");
      case '\f': return out_.append("\\f");
      case '\b': return out_.append("\\b");
      default: break;
    }
    if (c >= 0x10000) {
      escape_unit(0xD800 + ((c - 0x10000) >> 10));
      escape_unit(0xDC00 + ((c - 0x10000) & 0x3FF));
    } else {
      escape_unit(c);
    }
  }

  Budget& budget_;
  TextBuilder& out_;
  const JsonFormat& format_;
};

}  // namespace

void append_json(Budget& budget, TextBuilder& out, const Value& value, const JsonFormat& format) {
  JsonWriter(budget, out, format).write(value, 0);
}

}  // namespace powerhouse::jinja
