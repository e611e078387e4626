#include "constraints/call_marks.h"

#include <algorithm>

#include "constraints/json_schema.h"
#include "powerhouse/error.h"

namespace powerhouse::constraints {

void CallMarks::refuse(const char* what, const CallPlace& place, const char* expected) {
  throw Error(ErrorKind::unsupported, what,
              {.field = place.key.empty() ? place.tool : place.tool + "." + place.key, .expected = expected});
}

void CallMarks::check_word(const std::string& text, const CallPlace& place) {
  if (!text.empty() && std::all_of(text.begin(), text.end(), is_word)) return;
  refuse("the format has no end of such a name", place, "letters, digits, '_', '-' and '.'");
}

std::string CallMarks::filled(const std::string& text, const CallPlace& place) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case kNameHole: out += place.tool; break;
      case kKeyHole: out += place.key; break;
      default: out += c;
    }
  }
  return out;
}

ExprId CallMarks::mark(const std::string& text, const CallPlace& place) {
  std::vector<ExprId> parts;
  std::string run;
  const auto flush = [&] {
    if (run.empty()) return;
    literal(grammar_, parts, run);
    run.clear();
  };
  for (const char c : filled(text, place)) {
    switch (c) {
      case kIdHole: flush(), parts.push_back(words(9, 9)); break;
      case kCounterHole: flush(), parts.push_back(number()); break;
      default: run += c;
    }
  }
  flush();
  return parts.empty() ? grammar_.empty() : grammar_.sequence(std::move(parts));
}

void CallMarks::literal(Grammar& grammar, std::vector<ExprId>& parts, const std::string& text) const {
  std::size_t done = 0;
  const auto plain = [&](std::size_t end) {
    if (end > done) parts.push_back(grammar.literal(std::string_view(text).substr(done, end - done)));
  };
  for (const std::int64_t id : tokenizer_.encode(text, {.add_special_tokens = false})) {
    const std::string written = tokenizer_.decode({&id, 1}, {.skip_special_tokens = false});
    if (written.empty() || !tokenizer_.decode({&id, 1}).empty()) continue;  // not a special token
    const std::size_t at = text.find(written, done);
    if (at == std::string::npos) continue;
    plain(at);
    parts.push_back(grammar.token(id, false));
    done = at + written.size();
  }
  plain(text.size());
}

ExprId CallMarks::words(std::uint64_t low, std::uint64_t high) {
  return grammar_.repeat(grammar_.characters(CodePoints({{'0', '9'}, {'A', 'Z'}, {'a', 'z'}})), low, high);
}

ExprId CallMarks::number() { return grammar_.repeat(grammar_.characters(CodePoints({{'0', '9'}})), 1, 3); }

ExprId CallMarks::schema(const SchemaDocument& document, const Conjunction& schemas, const ValueNotation& notation) {
  const auto mark = [this](Grammar& grammar, const std::string& text) {
    std::vector<ExprId> parts;
    literal(grammar, parts, text);
    return grammar.sequence(std::move(parts));
  };
  return grammar_.adopt(json_schema_grammar(document, schemas, {.notation = notation, .mark = mark}));
}

}  // namespace powerhouse::constraints
