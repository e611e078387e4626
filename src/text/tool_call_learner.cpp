// Learns a format by rendering calls that are unmistakable and looking at what stands around them.
#include <algorithm>
#include <utility>

#include "powerhouse/error.h"
#include "text/notation_learner.h"
#include "text/tool_call_format.h"
#include "text/tool_call_probe.h"

namespace powerhouse {
namespace {

void replace_all(std::string& text, std::string_view what, char hole) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at)) {
    text.replace(at, what.size(), 1, hole);
  }
}

class Learner {
 public:
  explicit Learner(const ChatTemplate& chat_template) : probe_(chat_template) {}

  std::shared_ptr<const ToolCallFormat::Impl> run() {
    const Json strings = json_object({{kProbeKeys[0], kProbeValues[0]}, {kProbeKeys[1], kProbeValues[1]}});
    for (const bool as_text : {false, true}) {
      for (const Json& content : {Json(""), Json()}) {
        probe_.give(as_text, content);
        if (learn(strings)) return std::make_shared<const ToolCallFormat::Impl>(std::move(format_));
      }
    }
    throw Error(ErrorKind::unsupported,
                probe_.seen() ? "the template writes calls of tools in a way that is not understood"
                              : "the template writes no calls of tools",
                {.field = "chat_template", .found = probe_.seen() ? std::string() : probe_.failure()});
  }

 private:
  std::optional<std::string> body(std::size_t count, const Json& arguments) {
    auto found = probe_.body(count, arguments);
    return found ? std::optional<std::string>(std::move(found->calls)) : std::nullopt;
  }

  bool learn(const Json& strings) {
    format_ = {};
    const auto one = probe_.body(1, strings);
    if (!one) return false;
    const auto both = probe_.body(2, strings);
    format_.turn_end = (both ? both : one)->turn_end;
    const auto two = both ? std::optional<std::string>(both->calls) : std::nullopt;
    return of_json(one->calls, two, strings) || of_tags(one->calls, two);
  }

  // ---- JSON ----

  /// Where the arguments stand as JSON, behind `from`.
  static std::optional<TextPlace> json_at(std::string_view text, const Json& wanted, std::size_t from) {
    for (std::size_t at = text.find('{', from); at != std::string_view::npos; at = text.find('{', at + 1)) {
      const std::size_t end = json_end(text, at);
      if (end == std::string_view::npos) continue;
      try {
        if (Json::parse(text.substr(at, end - at), "call").dump() == wanted.dump()) return TextPlace{at, end};
      } catch (const Error&) {
        continue;
      }
    }
    return std::nullopt;
  }

  /// The object that holds both.
  static std::optional<TextPlace> object_around(std::string_view text, std::size_t name, const TextPlace& arguments) {
    for (std::size_t at = text.rfind('{', std::min(name, arguments.begin)); at != std::string_view::npos;
         at = at == 0 ? std::string_view::npos : text.rfind('{', at - 1)) {
      const std::size_t end = json_end(text, at);
      if (end == std::string_view::npos || end < arguments.end || at == arguments.begin) continue;
      try {
        (void)Json::parse(text.substr(at, end - at), "call");
        return TextPlace{at, end};
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
      if (key == kProbeNames[0] && value.dump() == arguments.dump()) {
        format_.name_is_key = name = given = true;
        continue;
      }
      if (value.dump() == arguments.dump()) {
        member.what = CallMember::What::arguments;
        given = true;
      } else if (value.is_string() && value.as_string() == kProbeNames[0]) {
        member.what = CallMember::What::name;
        name = true;
      } else if (value.is_string() && value.as_string() == kProbeIds[0]) {
        member.what = CallMember::What::id;
      } else if (value.dump() == "\"0\"" || value.dump() == "0") {
        member.what = CallMember::What::counter;
      }
      format_.members.push_back(std::move(member));
    }
    return name && given;
  }

  bool of_json(const std::string& one, const std::optional<std::string>& two, const Json& strings) {
    const std::size_t name = one.find(kProbeNames[0]);
    const auto arguments = json_at(one, strings, 0);
    if (!arguments) return false;
    const auto whole = object_around(one, name, *arguments);
    const auto call_at = [&](std::string_view text, std::size_t i, std::size_t from) -> std::optional<TextPlace> {
      const std::size_t named = text.find(kProbeNames[i], from);
      if (named == std::string_view::npos) return std::nullopt;
      const auto given = json_at(text, strings, from);
      if (!given) return std::nullopt;
      if (whole) return object_around(text, named, *given);
      const std::size_t last = text.substr(0, given->begin).rfind(kProbeNames[i]);
      if (last == std::string_view::npos) return std::nullopt;
      return TextPlace{last, given->end};
    };
    const auto first = call_at(one, 0, 0);
    if (!first) return false;
    if (whole) {
      format_.kind = CallKind::object;
      if (!members_of(Json::parse(one.substr(whole->begin, whole->end - whole->begin), "call"), strings)) return false;
    } else {
      format_.kind = CallKind::named;
      const std::size_t behind = first->begin + kProbeNames[0].size();
      format_.after_name = one.substr(behind, json_at(one, strings, behind)->begin - behind);
    }
    if (two) {
      const auto begin = call_at(*two, 0, 0);
      const auto next = begin ? call_at(*two, 1, begin->end) : std::nullopt;
      format_.several = next.has_value();
      if (next) {
        if (!whole) {
          const std::size_t behind = next->begin + kProbeNames[1].size();
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
      for (const std::string_view id : kProbeIds) replace_all(*gap, id, kIdHole);
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
      for (const std::string_view id : kProbeIds) replace_all(*gap, id, kIdHole);
      for (const std::string_view name : kProbeNames) replace_all(*gap, name, kNameHole);
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
      call.key_a = text.find(kProbeKeys[0], call.name);
      call.value_a = text.find(kProbeValues[0], call.key_a);
      call.key_b = text.find(kProbeKeys[1], call.value_a);
      call.value_b = text.find(kProbeValues[1], call.key_b);
      if (call.value_b == std::string_view::npos) return std::nullopt;
      call.name = text.substr(0, call.key_a).rfind(name);
      call.end = call.value_b + kProbeValues[1].size();
      return call;
    };
    const auto first = call_at(one, kProbeNames[0], 0);
    if (!first) return false;
    const std::size_t behind = first->name + kProbeNames[0].size();
    const std::string after_name = one.substr(behind, first->key_a - behind);
    const std::size_t value_end = first->value_a + kProbeValues[0].size();
    std::string between = one.substr(value_end, first->key_b - value_end);
    format_.after_name = after_name;
    const auto begin = two ? call_at(*two, kProbeNames[0], 0) : std::nullopt;
    const auto next = begin ? call_at(*two, kProbeNames[1], begin->end) : std::nullopt;
    format_.several = next.has_value();
    if (next) {
      const std::size_t second = next->name + kProbeNames[1].size();
      find_counter(two->substr(second, next->key_a - second));
      frame({two->substr(0, begin->name), two->substr(begin->end, next->name - begin->end), two->substr(next->end)});
    } else {
      frame({one.substr(0, first->name), "", one.substr(first->end)});
    }
    // The last value's mark stands before what closes the call. It may have the key in it.
    replace_all(between, kProbeKeys[0], kKeyHole);
    replace_all(format_.call_close, kProbeKeys[1], kKeyHole);
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
    const std::size_t key_end = first->key_a + kProbeKeys[0].size();
    format_.values[0] = {one.substr(key_end, first->value_a - key_end), value_close, true};
    format_.values[0].known = writes_raw(format_.values[0]);
    if (!format_.values[0].known) return false;
    const auto turned = body(1, json_object({{kProbeKeys[1], kProbeValues[1]}, {kProbeKeys[0], kProbeValues[0]}}));
    format_.sorted_keys = turned && turned->find(kProbeKeys[0]) < turned->find(kProbeKeys[1]);
    other_types();
    return true;
  }

  // A string is written as it is, whatever stands in it.
  bool writes_raw(const ValueMarks& marks) {
    const std::string odd = "qzodd \"a\" 'b' \\n <c> {d} & e";
    const auto text = body(1, json_object({{kProbeKeys[0], odd}}));
    std::string close = marks.value_close;
    if (const std::size_t hole = close.find(kKeyHole); hole != std::string::npos) close.replace(hole, 1, kProbeKeys[0]);
    return text && text->find(marks.key_close + odd + close) != std::string::npos;
  }

  void other_types() {
    const std::pair<ValueType, Json> wanted[] = {{ValueType::integer, Json(51627)},   {ValueType::number, Json(51.25)},
                                                 {ValueType::boolean, Json(true)},    {ValueType::array, probe_array()},
                                                 {ValueType::object, probe_object()}, {ValueType::null, Json()}};
    for (const auto& [type, value] : wanted) {
      const auto text = body(1, json_object({{kProbeKeys[0], value}, {kProbeKeys[1], value}}));
      if (!text) continue;
      const std::size_t key = text->find(kProbeKeys[0]);
      const std::size_t next = key == std::string::npos ? key : text->find(kProbeKeys[1], key);
      if (next == std::string::npos) continue;
      const std::size_t from = key + kProbeKeys[0].size();
      const auto notation = learn_notation(value, *text, from, [&](const Json& other) {
        return body(1, json_object({{kProbeKeys[0], other}}));
      });
      const auto place = notation ? place_of(*text, value, from, *notation) : std::nullopt;
      if (!place || place->end > next) continue;
      std::string close = text->substr(place->end, next - place->end);
      replace_all(close, kProbeKeys[0], kKeyHole);
      const std::string tail = format_.pair_separator + format_.key_open;
      if (!close.ends_with(tail)) continue;
      format_.values[static_cast<std::size_t>(type)] = {text->substr(from, place->begin - from),
                                                        close.substr(0, close.size() - tail.size()), true, *notation};
    }
  }

  ToolCallProbe probe_;
  ToolCallFormat::Impl format_;
};

}  // namespace

ToolCallFormat ToolCallFormat::from_template(const ChatTemplate& chat_template) {
  return ToolCallFormat(Learner(chat_template).run());
}

}  // namespace powerhouse
