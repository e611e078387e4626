// Objects: members in the schema's order, each there or not, then others.
#include <algorithm>
#include <map>

#include "constraints/schema_compiler.h"
#include "powerhouse/error.h"

namespace powerhouse::constraints {
namespace {

constexpr std::size_t kMaxPatterns = 5;
constexpr std::size_t kMaxObjectStates = 200'000;

}  // namespace

std::vector<std::string> SchemaCompiler::declared_names(const FlatSchema& flat) const {
  std::vector<std::string> names;
  std::set<std::string> known;
  const auto add = [&](const std::string& name) {
    if (known.insert(name).second) names.push_back(name);
  };
  for (const auto& part : flat.members) {
    for (const auto& [name, schema] : part.properties) add(name);
  }
  for (const std::string& name : flat.required) add(name);
  return names;
}

std::vector<SchemaCompiler::Member> SchemaCompiler::declared(const FlatSchema& flat,
                                                             const std::vector<std::string>& names) {
  const std::set<std::string> required(flat.required.begin(), flat.required.end());
  std::vector<Member> out;
  for (const std::string& name : names) {
    Member member{.what = grammar_.nothing(), .required = required.contains(name)};
    if (logic_.meets(Json(name), flat.names)) {
      member.what = grammar_.sequence({spelling_.key(name), rule(logic_.member(flat, name))});
    }
    out.push_back(member);
  }
  return out;
}

std::optional<TextMachine> SchemaCompiler::member_names(const FlatSchema& flat) {
  if (flat.names.empty()) return {};
  auto ways = reader_.read(flat.names);
  std::erase_if(ways, [](const FlatSchema& way) { return (way.types & kString) == 0; });
  if (ways.empty()) return texts_machine({});
  if (ways.size() > 1) schema_unsupported("propertyNames with alternatives is not built", flat.names[0].path);
  refuse_unsupported(ways[0], kString);
  if (!ways[0].values) return logic_.strings(ways[0]);
  std::vector<std::string> texts;
  for (const Json* value : logic_.values(ways[0])) {
    if (value->is_string()) texts.push_back(value->as_string());
  }
  return texts_machine(texts);
}

// Names fall into classes by the patterns that they match; each class has a machine for its names and schemas for its
// values. Names that the schema declares are in none.
std::vector<ExprId> SchemaCompiler::others(const FlatSchema& flat, const std::vector<std::string>& names) {
  struct Pattern {
    std::string text;
    std::vector<std::pair<std::size_t, SchemaRef>> schemas;  // by part
  };
  std::vector<Pattern> patterns;
  bool rest = flat.members.empty() || flat.min_properties > names.size();
  for (std::size_t part = 0; part < flat.members.size(); ++part) {
    for (const auto& [text, schema] : flat.members[part].patterns) {
      const auto same = [&text = text](const Pattern& pattern) { return pattern.text == text; };
      auto found = std::find_if(patterns.begin(), patterns.end(), same);
      if (found == patterns.end()) found = patterns.insert(found, {text, {}});
      found->schemas.emplace_back(part, schema);
    }
    rest = rest || flat.members[part].rest.has_value();
  }
  if (patterns.size() > kMaxPatterns) {
    schema_unsupported("more than five patternProperties at once are not built", flat.path + "/patternProperties");
  }
  std::vector<ExprId> out;
  for (std::size_t matched = rest ? 0 : 1; matched < std::size_t{1} << patterns.size(); ++matched) {
    std::optional<TextMachine> key = member_names(flat);
    const auto restrict = [&](const TextMachine& machine) { key = key ? both(*key, machine) : machine; };
    Conjunction schemas;
    std::vector<bool> named(flat.members.size(), false);
    for (std::size_t i = 0; i < patterns.size(); ++i) {
      const auto& [text, said] = patterns[i];
      const bool matches = (matched >> i & 1) != 0;
      const auto dialect = matches ? RegexDialect::within : RegexDialect::beyond;
      const TextMachine& machine = logic_.pattern(text, said[0].second.path, dialect, false);
      restrict(matches ? machine : complement(machine));
      for (std::size_t k = 0; matches && k < said.size(); ++k) {
        schemas.push_back(said[k].second);
        named[said[k].first] = true;
      }
    }
    for (std::size_t part = 0; part < flat.members.size(); ++part) {
      if (!named[part] && flat.members[part].rest) schemas.push_back(*flat.members[part].rest);
    }
    if (!names.empty()) restrict(complement(texts_machine(names)));
    if (key && !key->possible()) continue;
    out.push_back(grammar_.sequence({key ? spelling_.keys(*key) : spelling_.keys(), rule(schemas)}));
  }
  return out;
}

// A state knows how many declared members it has passed, how many members were written (as far as it matters), and how
// many of them are surely different: others may repeat a name, so that only the first of them counts.
ExprId SchemaCompiler::members_machine(const FlatSchema& flat, const std::vector<Member>& named,
                                       std::optional<ExprId> other) {
  struct Key {
    std::size_t passed = 0;
    std::uint64_t written = 0, different = 0;
    bool others = false;
    auto operator<=>(const Key&) const = default;
  };
  const bool bounded = flat.max_properties != Grammar::kUnbounded;
  if (flat.min_properties > named.size() + 1) {
    if (other) schema_unsupported("minProperties beyond the declared ones and one more is not built", flat.path);
    return grammar_.nothing();
  }
  Machine machine;
  const std::uint32_t end = machine.add_state(true);
  std::map<Key, std::uint32_t> states;
  std::vector<Key> keys;
  const auto state = [&](const Key& key) {
    const auto [found, fresh] = states.try_emplace(key, machine.size);
    if (fresh) {
      if (machine.size >= kMaxObjectStates) throw Error(ErrorKind::range, "an object explodes", {.field = flat.path});
      keys.push_back(key);
      machine.add_state();
    }
    return found->second;
  };
  machine.start = state({});
  const ExprId space = spelling_.space(), comma = grammar_.literal(",");
  const ExprId close = grammar_.sequence({space, grammar_.literal("}")});
  const auto write = [&](std::uint32_t from, const Key& key, Key next, ExprId what) {
    if (bounded && key.written >= flat.max_properties) return;
    next.written = bounded ? key.written + 1 : 1;
    const ExprId spaced = grammar_.sequence({space, what});
    machine.steps.push_back(
        {.from = from, .to = state(next), .what = key.written == 0 ? spaced : grammar_.sequence({comma, spaced})});
  };
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const Key key = keys[i];
    const auto from = static_cast<std::uint32_t>(i + 1);
    Key next = key;
    if (key.passed < named.size()) {
      ++next.passed;
      if (!named[key.passed].required) {
        machine.steps.push_back({.from = from, .to = state(next), .what = grammar_.empty()});
      }
      next.different = std::min(key.different + 1, flat.min_properties);
      write(from, key, next, named[key.passed].what);
      continue;
    }
    if (key.different >= flat.min_properties) machine.steps.push_back({.from = from, .to = end, .what = close});
    if (!other) continue;
    if (!key.others) next.different = std::min(key.different + 1, flat.min_properties);
    next.others = true;
    write(from, key, next, *other);
  }
  return grammar_.machine(std::move(machine));
}

ExprId SchemaCompiler::object(const FlatSchema& flat) {
  const auto names = declared_names(flat);
  std::vector<Member> named = declared(flat, names);
  const std::vector<ExprId> forms = others(flat, names);
  std::optional<ExprId> other;
  if (!forms.empty()) other = grammar_.shared(flat.path + " (other members)", grammar_.choice(forms));
  return grammar_.sequence({grammar_.literal("{"), members_machine(flat, named, other)});
}

}  // namespace powerhouse::constraints
