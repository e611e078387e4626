// YAML by yaml-cpp, and typed reading of its scalars.
#include "training/yaml.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>

#include "support/json.h"

namespace powerhouse {
namespace {

constexpr std::size_t kLongestText = std::size_t{1} << 20;
constexpr int kMostValues = 100'000;
constexpr int kDeepest = 50;

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

// YAML 1.1's words, as PyYAML has them.
bool is_null_word(std::string_view text) { return is_one_of(text, {"", "~", "null", "Null", "NULL"}); }
bool is_true_word(std::string_view text) {
  return is_one_of(text, {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"});
}
bool is_false_word(std::string_view text) {
  return is_one_of(text, {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"});
}

class Converter {
 public:
  Converter(const std::string& origin, ErrorKind fault) : origin_(origin), fault_(fault) {}

  YamlValue convert(const YAML::Node& node, int line, int depth) {
    if (node.Mark().line >= 0) line = node.Mark().line + 1;
    if (++values_ > kMostValues || depth > kDeepest) {
      throw Error(ErrorKind::range, "too many or too deeply nested values", {.file = place(line)});
    }
    YamlValue value{.place = place(line), .fault = fault_};
    if (node.IsScalar()) {
      value.quoted = node.Tag() != "?" && !node.Tag().empty();
      value.text = node.Scalar();
      const bool null = !value.quoted && is_null_word(value.text);
      value.kind = null ? YamlValue::Kind::null : YamlValue::Kind::scalar;
    } else if (node.IsSequence()) {
      value.kind = YamlValue::Kind::sequence;
      for (const YAML::Node& item : node) value.items.push_back(convert(item, line, depth + 1));
    } else if (node.IsMap()) {
      value.kind = YamlValue::Kind::mapping;
      add_members(node, line, depth, value);
    }
    return value;
  }

 private:
  std::string place(int line) const {
    return fault_ == ErrorKind::usage ? origin_ : origin_ + ":" + std::to_string(line);
  }

  void add_members(const YAML::Node& node, int line, int depth, YamlValue& value) {
    std::vector<YamlValue> merged;
    for (const auto& member : node) {
      const int key_line = member.first.Mark().line >= 0 ? member.first.Mark().line + 1 : line;
      if (!member.first.IsScalar()) {
        throw Error(ErrorKind::format, "a key must be plain text", {.file = place(key_line)});
      }
      const std::string& key = member.first.Scalar();
      YamlValue item = convert(member.second, key_line, depth + 1);
      if (key == "<<" && member.first.Tag() == "?") {
        merged.push_back(std::move(item));
        continue;
      }
      if (const YamlValue* before = value.find(key)) {
        throw Error(ErrorKind::format, "the key stands twice",
                    {.file = place(key_line), .field = key, .found = "the first at " + before->place});
      }
      // The line of the key, not of the value: that may begin far below.
      item.place = place(key_line);
      value.members.emplace_back(key, std::move(item));
    }
    for (const YamlValue& source : merged) merge(source, value);
  }

  void merge(const YamlValue& source, YamlValue& value) {
    if (source.kind == YamlValue::Kind::sequence) {
      for (const YamlValue& item : source.items) merge(item, value);
    } else if (source.kind == YamlValue::Kind::mapping) {
      for (const auto& [key, item] : source.members) {
        if (value.find(key) == nullptr) value.members.emplace_back(key, item);
      }
    } else {
      throw wrong_value(source, "<<", "a mapping");
    }
  }

  const std::string& origin_;
  ErrorKind fault_;
  int values_ = 0;
};

Json to_json(const YamlValue& value) {
  switch (value.kind) {
    case YamlValue::Kind::null: return nullptr;
    case YamlValue::Kind::scalar: return value.text;
    case YamlValue::Kind::sequence: {
      Json::Array items;
      for (const YamlValue& item : value.items) items.push_back(to_json(item));
      return items;
    }
    case YamlValue::Kind::mapping: {
      JsonObject object;
      for (const auto& [key, item] : value.members) object[key] = to_json(item);
      return object;
    }
  }
  return nullptr;
}

template <typename T>
bool parse_whole(std::string text, T& number) {
  std::erase(text, '_');
  if (!text.empty() && text.front() == '+') text.erase(0, 1);
  const char* end = text.data() + text.size();
  const auto [next, failure] = std::from_chars(text.data(), end, number);
  return !text.empty() && failure == std::errc() && next == end;
}

std::string bounds(const std::string& what, double low, double high, double highest) {
  const auto shown = [](double number) { return Json(number).dump(); };
  const auto tidy = [&](double number) {
    return number == std::floor(number) && std::abs(number) < 1e15 ? std::to_string(static_cast<std::int64_t>(number))
                                                                   : shown(number);
  };
  if (high < highest) return what + " from " + tidy(low) + " to " + tidy(high);
  return low > -highest ? what + ", " + tidy(low) + " or more" : what;
}

}  // namespace

const YamlValue* YamlValue::find(std::string_view key) const {
  for (const auto& [name, value] : members) {
    if (name == key) return &value;
  }
  return nullptr;
}

YamlValue* YamlValue::find(std::string_view key) {
  return const_cast<YamlValue*>(static_cast<const YamlValue&>(*this).find(key));
}

YamlValue parse_yaml(std::string_view text, const std::string& origin, ErrorKind fault) {
  if (text.size() > kLongestText) throw Error(ErrorKind::range, "the file is too long", {.file = origin});
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(std::string(text));
    if (documents.size() > 1) {
      throw Error(fault, "more than one document", {.file = origin, .expected = "one"});
    }
    if (documents.empty()) return {.place = origin, .fault = fault};
    return Converter(origin, fault).convert(documents.front(), 1, 0);
  } catch (const YAML::Exception& error) {
    const bool known = error.mark.line >= 0 && fault != ErrorKind::usage;
    throw Error(fault, "broken YAML: " + error.msg,
                {.file = known ? origin + ":" + std::to_string(error.mark.line + 1) : origin});
  }
}

Error wrong_value(const YamlValue& value, const std::string& field, const std::string& expected) {
  return Error(value.fault, "wrong value",
               {.file = value.place, .field = field, .expected = expected, .found = yaml_shown(value)});
}

bool yaml_bool(const YamlValue& value, const std::string& field) {
  if (value.kind == YamlValue::Kind::scalar) {
    if (is_true_word(value.text)) return true;
    if (is_false_word(value.text)) return false;
  }
  throw wrong_value(value, field, "true or false");
}

std::int64_t yaml_integer(const YamlValue& value, const std::string& field, std::int64_t low, std::int64_t high) {
  std::int64_t number = 0;
  bool read = value.kind == YamlValue::Kind::scalar && parse_whole(value.text, number);
  if (double real = 0; !read && value.kind == YamlValue::Kind::scalar && parse_whole(value.text, real)) {
    read = real == std::floor(real) && std::abs(real) < 1e15;  // 1e3
    if (read) number = static_cast<std::int64_t>(real);
  }
  if (read && number >= low && number <= high) return number;
  throw wrong_value(value, field,
                    bounds("an integer", static_cast<double>(low), static_cast<double>(high),
                           static_cast<double>(std::numeric_limits<std::int64_t>::max())));
}

double yaml_number(const YamlValue& value, const std::string& field, double low, double high) {
  double number = 0;
  const bool read = value.kind == YamlValue::Kind::scalar && parse_whole(value.text, number);
  if (read && std::isfinite(number) && number >= low && number <= high) return number;
  throw wrong_value(value, field, bounds("a number", low, high, std::numeric_limits<double>::max()));
}

const std::string& yaml_string(const YamlValue& value, const std::string& field) {
  if (value.kind != YamlValue::Kind::scalar) throw wrong_value(value, field, "text");
  return value.text;
}

std::vector<std::string> yaml_strings(const YamlValue& value, const std::string& field) {
  if (value.kind == YamlValue::Kind::scalar) return {value.text};
  if (value.kind != YamlValue::Kind::sequence) throw wrong_value(value, field, "a list of texts");
  std::vector<std::string> texts;
  for (const YamlValue& item : value.items) texts.push_back(yaml_string(item, field));
  return texts;
}

std::vector<double> yaml_numbers(const YamlValue& value, const std::string& field) {
  if (value.kind != YamlValue::Kind::sequence) throw wrong_value(value, field, "a list of numbers");
  constexpr double kLargest = std::numeric_limits<double>::max();
  std::vector<double> numbers;
  for (const YamlValue& item : value.items) numbers.push_back(yaml_number(item, field, -kLargest, kLargest));
  return numbers;
}

bool yaml_truthy(const YamlValue& value) {
  switch (value.kind) {
    case YamlValue::Kind::null: return false;
    case YamlValue::Kind::sequence: return !value.items.empty();
    case YamlValue::Kind::mapping: return !value.members.empty();
    case YamlValue::Kind::scalar: break;
  }
  if (double number = 0; !value.quoted && parse_whole(value.text, number)) return number != 0;
  return !value.text.empty() && !is_false_word(value.text);
}

std::string yaml_shown(const YamlValue& value) {
  return value.kind == YamlValue::Kind::scalar ? value.text : to_json(value).dump();
}

std::string yaml_quoted(std::string_view text) {
  const auto plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '/' || c == '.';
  };
  const bool word = !text.empty() && std::isalpha(static_cast<unsigned char>(text.front())) != 0 &&
                    std::all_of(text.begin(), text.end(), plain) && !is_null_word(text) && !is_true_word(text) &&
                    !is_false_word(text);
  return word ? std::string(text) : Json(text).dump();  // JSON's strings are YAML's double-quoted ones
}

}  // namespace powerhouse
