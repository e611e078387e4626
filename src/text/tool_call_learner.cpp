// Learns a format by rendering calls that are unmistakable and looking at what stands around them.
#include <algorithm>
#include <utility>

#include "powerhouse/error.h"
#include "text/tool_call_format.h"

namespace powerhouse {
namespace {

constexpr std::string_view kContent = "Qzcontent";
constexpr std::string_view kNames[] = {"qzone_fn", "qztwo_fn"};
constexpr std::string_view kIds[] = {"qzid00001", "qzid00002"};  // nine letters and digits, as Mistral's templates ask
constexpr std::string_view kKeys[] = {"qzkeya", "qzkeyb"};
constexpr std::string_view kValues[] = {"qzva one", "qzvb two"};

Json object(std::initializer_list<std::pair<std::string_view, Json>> members) {
  JsonObject out;
  for (const auto& [key, value] : members) out[key] = value;
  return out;
}

Json message(std::string_view role, const Json& content) { return object({{"role", role}, {"content", content}}); }

Json tools() {
  Json::Array all;
  for (const std::string_view name : kNames) {
    const Json text = object({{"type", "string"}, {"description", "d"}});
    const Json parameters = object({{"type", "object"},
                                    {"properties", object({{kKeys[0], text}, {kKeys[1], text}})},
                                    {"required", Json::Array{}}});
    const Json function = object({{"name", name}, {"description", "d"}, {"parameters", parameters}});
    all.push_back(object({{"type", "function"}, {"function", function}}));
  }
  return all;
}

std::size_t common_prefix(std::string_view a, std::string_view b) {
  return static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}
std::size_t common_suffix(std::string_view a, std::string_view b) {
  return static_cast<std::size_t>(std::mismatch(a.rbegin(), a.rend(), b.rbegin(), b.rend()).first - a.rbegin());
}

// Whether a cut at `at` would go through <...>.
bool inside_tag(std::string_view text, std::size_t at) {
  const std::size_t open = text.substr(0, at).rfind('<');
  if (open == std::string_view::npos) return false;
  const std::string_view begun = text.substr(open, at - open);
  return begun.find_first_of("> \n") == std::string_view::npos && text.find('>', at) != std::string_view::npos;
}

void replace_all(std::string& text, std::string_view what, char hole) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at)) {
    text.replace(at, what.size(), 1, hole);
  }
}

struct Place {
  std::size_t begin = 0, end = 0;
};

class Learner {
 public:
  explicit Learner(const ChatTemplate& chat_template) : template_(chat_template) {}

  std::shared_ptr<const ToolCallFormat::Impl> run() {
    try {
      const Json user(Json::Array{message("user", "Qzuser")});
      prompt_ = template_.render(user.dump(), {.add_generation_prompt = true, .tools = tools_});
    } catch (const Error& error) {
      failure_ = error.what();
    }
    const Json strings = object({{kKeys[0], kValues[0]}, {kKeys[1], kValues[1]}});
    for (const bool as_text : {false, true}) {
      as_text_ = as_text;
      for (const Json& content : {Json(""), Json()}) {
        content_ = content;
        if (learn(strings)) return std::make_shared<const ToolCallFormat::Impl>(std::move(format_));
      }
    }
    throw Error(ErrorKind::unsupported,
                seen_ ? "the template writes calls of tools in a way that is not understood"
                      : "the template writes no calls of tools",
                {.field = "chat_template", .found = seen_ ? std::string() : failure_});
  }

 private:
  std::optional<std::string> render(const Json& assistant) {
    try {
      return template_.render(Json(Json::Array{message("user", "Qzuser"), assistant}).dump(), {.tools = tools_});
    } catch (const Error& error) {
      failure_ = error.what();
      return std::nullopt;
    }
  }

  std::optional<std::string> render(std::size_t count, const Json& arguments) {
    Json::Array calls;
    for (std::size_t i = 0; i < count; ++i) {
      const Json given = as_text_ ? Json(arguments.dump()) : arguments;
      const Json function = object({{"name", kNames[i]}, {"arguments", given}});
      calls.push_back(object({{"id", kIds[i]}, {"type", "function"}, {"function", function}}));
    }
    Json assistant = message("assistant", content_);
    assistant.as_object()["tool_calls"] = std::move(calls);
    return render(assistant);
  }

  /// What a message of so many calls consists of, from where it differs from one of text.
  std::optional<std::string> body(std::size_t count, const Json& arguments) {
    const auto plain = render(message("assistant", kContent));
    const auto text = render(count, arguments);
    if (!plain || !text) return std::nullopt;
    const std::size_t content = plain->find(kContent);
    if (content == std::string::npos) return std::nullopt;
    std::size_t begin = std::min(common_prefix(*text, *plain), content);  // tools are described before it
    if (text->starts_with(prompt_)) begin = std::max(begin, prompt_.size());
    if (text->find(kNames[count - 1], begin) == std::string::npos) return std::nullopt;
    seen_ = true;
    while (begin > 0 && inside_tag(*text, begin)) --begin;
    const std::string_view behind = std::string_view(*plain).substr(content + kContent.size());
    std::size_t end = text->size() - std::min(common_suffix(*text, behind), text->size() - begin);
    while (end < text->size() && inside_tag(*text, end)) ++end;
    format_.turn_end = text->substr(end);
    return text->substr(begin, end - begin);
  }

  bool learn(const Json& strings) {
    format_ = {};
    const auto one = body(1, strings);
    if (!one) return false;
    const std::string turn_end = format_.turn_end;
    const auto two = body(2, strings);
    format_.several = two.has_value();
    const bool found = of_json(*one, two, strings) || of_tags(*one, two);
    format_.turn_end = turn_end;
    return found;
  }

  // ---- JSON ----

  /// Where the arguments stand as JSON, behind `from`.
  static std::optional<Place> json_at(std::string_view text, const Json& wanted, std::size_t from) {
    for (std::size_t at = text.find('{', from); at != std::string_view::npos; at = text.find('{', at + 1)) {
      const std::size_t end = json_end(text, at);
      if (end == std::string_view::npos) continue;
      try {
        if (Json::parse(text.substr(at, end - at), "call").dump() == wanted.dump()) return Place{at, end};
      } catch (const Error&) {
        continue;
      }
    }
    return std::nullopt;
  }

  /// The object that holds both.
  static std::optional<Place> object_around(std::string_view text, std::size_t name, const Place& arguments) {
    for (std::size_t at = text.rfind('{', std::min(name, arguments.begin)); at != std::string_view::npos;
         at = at == 0 ? std::string_view::npos : text.rfind('{', at - 1)) {
      const std::size_t end = json_end(text, at);
      if (end == std::string_view::npos || end < arguments.end || at == arguments.begin) continue;
      try {
        (void)Json::parse(text.substr(at, end - at), "call");
        return Place{at, end};
      } catch (const Error&) {
        continue;
      }
    }
    return std::nullopt;
  }

  bool members_of(const Json& call, const Json& arguments) {
    bool name = false, given = false;
    for (const auto& [key, value] : call.as_object()) {
      CallMember member{.key = key, .constant = value};
      if (key == kNames[0] && value.dump() == arguments.dump()) {
        format_.name_is_key = name = given = true;
        continue;
      }
      if (value.dump() == arguments.dump()) {
        member.what = CallMember::What::arguments;
        given = true;
      } else if (value.is_string() && value.as_string() == kNames[0]) {
        member.what = CallMember::What::name;
        name = true;
      } else if (value.is_string() && value.as_string() == kIds[0]) {
        member.what = CallMember::What::id;
      } else if (value.dump() == "\"0\"" || value.dump() == "0") {
        member.what = CallMember::What::counter;
      }
      format_.members.push_back(std::move(member));
    }
    return name && given;
  }

  bool of_json(const std::string& one, const std::optional<std::string>& two, const Json& strings) {
    const std::size_t name = one.find(kNames[0]);
    const auto arguments = json_at(one, strings, 0);
    if (!arguments) return false;
    const auto whole = object_around(one, name, *arguments);
    const auto call_at = [&](std::string_view text, std::size_t i, std::size_t from) -> std::optional<Place> {
      const std::size_t named = text.find(kNames[i], from);
      if (named == std::string_view::npos) return std::nullopt;
      const auto given = json_at(text, strings, from);
      if (!given) return std::nullopt;
      if (whole) return object_around(text, named, *given);
      const std::size_t last = text.substr(0, given->begin).rfind(kNames[i]);
      if (last == std::string_view::npos) return std::nullopt;
      return Place{last, given->end};
    };
    const auto first = call_at(one, 0, 0);
    if (!first) return false;
    if (whole) {
      format_.kind = CallKind::object;
      if (!members_of(Json::parse(one.substr(whole->begin, whole->end - whole->begin), "call"), strings)) return false;
    } else {
      format_.kind = CallKind::named;
      const std::size_t behind = first->begin + kNames[0].size();
      format_.after_name = one.substr(behind, json_at(one, strings, behind)->begin - behind);
    }
    if (two) {
      const auto begin = call_at(*two, 0, 0);
      const auto next = begin ? call_at(*two, 1, begin->end) : std::nullopt;
      format_.several = next.has_value();
      if (next) {
        if (!whole) {
          const std::size_t behind = next->begin + kNames[1].size();
          find_counter(two->substr(behind, json_at(*two, strings, behind)->begin - behind));
        }
        frame(
            {two->substr(0, begin->begin), two->substr(begin->end, next->begin - begin->end), two->substr(next->end)});
        return true;
      }
    }
    frame({one.substr(0, first->begin), "", one.substr(first->end)});
    return true;
  }

  // Where the gaps behind the names differ in a number, that counts the calls.
  void find_counter(std::string second) {
    std::string& first = format_.after_name;
    for (std::string* const gap : {&first, &second}) {
      for (const std::string_view id : kIds) replace_all(*gap, id, kIdHole);
    }
    if (first == second) return;
    for (const int start : {0, 1}) {
      const std::string a = std::to_string(start), b = std::to_string(start + 1);
      const std::size_t at = common_prefix(first, second);
      if (first.compare(at, 1, a) != 0 || second.compare(at, 1, b) != 0) continue;
      first[at] = kCounterHole;
      format_.first_counter = start;
      return;
    }
  }

  // ---- what stands around ----

  struct Gaps {
    std::string before, between, behind;
  };

  void frame(Gaps gaps) {
    for (std::string* gap : {&gaps.before, &gaps.between, &gaps.behind, &format_.after_name}) {
      for (const std::string_view id : kIds) replace_all(*gap, id, kIdHole);
      for (const std::string_view name : kNames) replace_all(*gap, name, kNameHole);
    }
    if (!format_.several) {
      format_.call_open = gaps.before;
      format_.call_close = gaps.behind;
      return;
    }
    std::size_t open = common_suffix(gaps.before, gaps.between);
    while (open > 0 && (inside_tag(gaps.before, gaps.before.size() - open) ||
                        inside_tag(gaps.between, gaps.between.size() - open))) {
      --open;
    }
    format_.call_open = gaps.before.substr(gaps.before.size() - open);
    format_.section_open = gaps.before.substr(0, gaps.before.size() - open);
    const std::string rest = gaps.between.substr(0, gaps.between.size() - open);
    std::size_t close = common_prefix(rest, gaps.behind);
    while (close > 0 && (inside_tag(rest, close) || inside_tag(gaps.behind, close))) --close;
    format_.call_close = rest.substr(0, close);
    format_.separator = rest.substr(close);
    format_.section_close = gaps.behind.substr(close);
  }

  // ---- tags ----

  bool of_tags(const std::string& one, const std::optional<std::string>& two) {
    format_.kind = CallKind::tagged;
    struct Call {
      std::size_t name = 0, key_a = 0, value_a = 0, key_b = 0, value_b = 0, end = 0;
    };
    const auto call_at = [](std::string_view text, std::string_view name, std::size_t from) -> std::optional<Call> {
      Call call;
      call.name = text.find(name, from);
      if (call.name == std::string_view::npos) return std::nullopt;
      call.key_a = text.find(kKeys[0], call.name);
      call.value_a = text.find(kValues[0], call.key_a);
      call.key_b = text.find(kKeys[1], call.value_a);
      call.value_b = text.find(kValues[1], call.key_b);
      if (call.value_b == std::string_view::npos) return std::nullopt;
      call.name = text.substr(0, call.key_a).rfind(name);
      call.end = call.value_b + kValues[1].size();
      return call;
    };
    const auto first = call_at(one, kNames[0], 0);
    if (!first) return false;
    const std::size_t behind = first->name + kNames[0].size();
    const std::string after_name = one.substr(behind, first->key_a - behind);
    const std::size_t value_end = first->value_a + kValues[0].size();
    std::string between = one.substr(value_end, first->key_b - value_end);
    format_.after_name = after_name;
    const auto begin = two ? call_at(*two, kNames[0], 0) : std::nullopt;
    const auto next = begin ? call_at(*two, kNames[1], begin->end) : std::nullopt;
    format_.several = next.has_value();
    if (next) {
      const std::size_t second = next->name + kNames[1].size();
      find_counter(two->substr(second, next->key_a - second));
      frame({two->substr(0, begin->name), two->substr(begin->end, next->name - begin->end), two->substr(next->end)});
    } else {
      frame({one.substr(0, first->name), "", one.substr(first->end)});
    }
    // The last value's mark stands before what closes the call. It may have the key in it.
    replace_all(between, kKeys[0], kKeyHole);
    replace_all(format_.call_close, kKeys[1], kKeyHole);
    std::size_t close = common_prefix(between, format_.call_close);
    while (close > 0 && (inside_tag(between, close) || inside_tag(format_.call_close, close))) --close;
    const std::string value_close = between.substr(0, close);
    format_.call_close.erase(0, close);
    const std::string rest = between.substr(close);
    std::size_t open = common_suffix(rest, format_.after_name);
    while (open > 0 && inside_tag(rest, rest.size() - open)) --open;
    format_.key_open = rest.substr(rest.size() - open);
    format_.pair_separator = rest.substr(0, rest.size() - open);
    format_.after_name.erase(format_.after_name.size() - open);
    const std::size_t key_end = first->key_a + kKeys[0].size();
    format_.values[0] = {one.substr(key_end, first->value_a - key_end), value_close, true};
    format_.values[0].known = writes_raw(format_.values[0]);
    if (!format_.values[0].known) return false;
    other_types();
    return true;
  }

  // A string is written as it is, whatever stands in it.
  bool writes_raw(const ValueMarks& marks) {
    const std::string odd = "qzodd \"a\" 'b' \\n <c> {d} & e";
    const auto text = body(1, object({{kKeys[0], odd}}));
    std::string close = marks.value_close;
    if (const std::size_t hole = close.find(kKeyHole); hole != std::string::npos) close.replace(hole, 1, kKeys[0]);
    return text && text->find(marks.key_close + odd + close) != std::string::npos;
  }

  void other_types() {
    const std::pair<ValueType, Json> wanted[] = {{ValueType::integer, Json(51627)},
                                                 {ValueType::number, Json(51.25)},
                                                 {ValueType::boolean, Json(true)},
                                                 {ValueType::array, Json(Json::Array{Json("qa"), Json(7)})},
                                                 {ValueType::object, object({{"qk", "qa"}, {"ql", 7}})}};
    for (const auto& [type, value] : wanted) {
      const auto text = body(1, object({{kKeys[0], value}, {kKeys[1], value}}));
      if (!text) continue;
      const std::size_t key = text->find(kKeys[0]);
      const std::size_t next = key == std::string::npos ? key : text->find(kKeys[1], key);
      if (next == std::string::npos) continue;
      const std::size_t from = key + kKeys[0].size();
      const auto place = value_at(*text, value, from);
      if (!place || place->end > next) continue;
      std::string close = text->substr(place->end, next - place->end);
      replace_all(close, kKeys[0], kKeyHole);
      const std::string tail = format_.pair_separator + format_.key_open;
      if (!close.ends_with(tail)) continue;
      format_.values[static_cast<std::size_t>(type)] = {text->substr(from, place->begin - from),
                                                        close.substr(0, close.size() - tail.size()), true};
    }
  }

  std::optional<Place> value_at(std::string_view text, const Json& value, std::size_t from) {
    if (value.is_object() || value.is_array()) {
      const std::size_t at = text.find(value.is_object() ? '{' : '[', from);
      const std::size_t end = at == std::string_view::npos ? at : json_end(text, at);
      if (end == std::string_view::npos) return std::nullopt;
      try {
        if (Json::parse(text.substr(at, end - at), "value").dump() == value.dump()) return Place{at, end};
      } catch (const Error&) {
        return std::nullopt;
      }
      return std::nullopt;
    }
    std::string written = value.dump();
    std::size_t at = text.find(written, from);
    if (at == std::string_view::npos && value.is_bool()) {
      written = "True";
      at = text.find(written, from);
      format_.python = at != std::string_view::npos;
    }
    if (at == std::string_view::npos) return std::nullopt;
    return Place{at, at + written.size()};
  }

  const ChatTemplate& template_;
  const std::string tools_ = tools().dump();
  ToolCallFormat::Impl format_;
  std::string prompt_ = "\n";  // none begins with it
  bool as_text_ = false;
  Json content_{};
  bool seen_ = false;
  std::string failure_{};
};

}  // namespace

ToolCallFormat ToolCallFormat::from_template(const ChatTemplate& chat_template) {
  return ToolCallFormat(Learner(chat_template).run());
}

}  // namespace powerhouse
