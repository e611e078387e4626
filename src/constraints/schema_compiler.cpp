#include "constraints/schema_compiler.h"

#include <algorithm>
#include <numeric>

#include "constraints/number_machine.h"
#include "powerhouse/error.h"

namespace powerhouse::constraints {

SchemaCompiler::SchemaCompiler(const SchemaDocument& document, SpellingOptions options)
    : reader_(document), logic_(reader_), spelling_(grammar_, std::move(options)) {}

Grammar SchemaCompiler::run(const Conjunction& schemas) {
  grammar_.root = grammar_.add_rule(schemas[0].path);
  grammar_.define(grammar_.root, rule(schemas));
  for (std::size_t i = 0; i < todo_.size(); ++i) {  // grows
    const auto [rule, all] = todo_[i];
    try {
      grammar_.define(rule, body(all));
    } catch (const Error& error) {
      if (!error.field().empty()) throw;
      throw Error(error.kind(), error.message(),
                  {.field = all[0].path, .expected = error.expected(), .found = error.found()});
    }
  }
  logic_.check_exclusive();
  grammar_.impossible = reader_.impossible();
  return std::move(grammar_);
}

ExprId SchemaCompiler::rule(const Conjunction& schemas) {
  std::vector<const Json*> key;
  for (const SchemaRef& schema : schemas) {
    const bool anything = schema.node->is_bool() && schema.node->as_bool();
    if (!anything) key.push_back(schema.node);
  }
  if (key.empty()) return spelling_.value();
  std::sort(key.begin(), key.end());
  key.erase(std::unique(key.begin(), key.end()), key.end());
  const auto found = rules_.find(key);
  if (found != rules_.end()) return grammar_.call(found->second);
  const RuleId rule = grammar_.add_rule(schemas[0].path);
  rules_.emplace(std::move(key), rule);
  todo_.emplace_back(rule, schemas);
  return grammar_.call(rule);
}

ExprId SchemaCompiler::body(const Conjunction& schemas) {
  std::vector<ExprId> parts;
  for (const FlatSchema& flat : reader_.read(schemas)) parts.push_back(way(flat));
  return grammar_.choice(std::move(parts));
}

ExprId SchemaCompiler::way(const FlatSchema& flat) {
  std::vector<ExprId> parts;
  if (flat.values) {
    for (const Json* value : logic_.values(flat)) parts.push_back(spelling_.literal(*value));
    if (parts.empty()) reader_.note_impossible(flat.path);
    return grammar_.choice(std::move(parts));
  }
  refuse_unsupported(flat, flat.types);
  if ((flat.types & kNull) != 0) parts.push_back(spelling_.literal(Json()));
  if ((flat.types & kBoolean) != 0) {
    parts.push_back(spelling_.literal(Json(true)));
    parts.push_back(spelling_.literal(Json(false)));
  }
  if ((flat.types & (kInteger | kFraction)) != 0) parts.push_back(number(flat));
  if ((flat.types & kString) != 0) parts.push_back(string(flat));
  if ((flat.types & kArray) != 0) parts.push_back(array(flat));
  if ((flat.types & kObject) != 0) parts.push_back(object(flat));
  if (logic_.impossible(flat)) reader_.note_impossible(flat.path);
  return grammar_.choice(std::move(parts));
}

ExprId SchemaCompiler::number(const FlatSchema& flat) {
  const bool whole = (flat.types & kFraction) == 0 || !flat.multiples.empty();
  if (!flat.low && !flat.high && flat.multiples.empty()) return whole ? spelling_.integer() : spelling_.number();
  NumberBounds bounds{.low = flat.low, .high = flat.high, .whole = whole};
  for (const std::int64_t multiple : flat.multiples) {
    bounds.multiple_of = std::lcm(bounds.multiple_of, multiple);
    if (bounds.multiple_of > 1000) schema_unsupported("multiples of more than 1,000 are not built", flat.path);
  }
  return number_between(grammar_, bounds);
}

ExprId SchemaCompiler::string(const FlatSchema& flat) {
  if (flat.min_length > flat.max_length) return grammar_.nothing();
  if (flat.patterns.empty()) return spelling_.string(flat.min_length, flat.max_length);
  return spelling_.string(logic_.strings(flat));
}

ExprId SchemaCompiler::array(const FlatSchema& flat) {
  std::uint64_t named = 0;
  bool rest = flat.elements.empty();
  for (const auto& part : flat.elements) {
    named = std::max<std::uint64_t>(named, part.first.size());
    rest = rest || part.rest.has_value();
  }
  // A tuple is written as a whole unless the schema says how short it may be; what lies behind it only where asked for.
  std::uint64_t low = flat.min_items_given ? flat.min_items : std::min(std::max(named, flat.min_items), flat.max_items);
  rest = rest || low > named;
  const std::uint64_t high = rest ? flat.max_items : std::min(flat.max_items, named);
  if (flat.unique && high > 1) return distinct(flat);
  const bool open = high == Grammar::kUnbounded;
  const std::uint64_t last = open ? std::max(low, named) : high;  // behind it all elements are alike
  if (last > Grammar::kMaxCount) {
    throw Error(ErrorKind::range, "an array explodes",
                {.field = flat.path, .expected = "at most 100,000 elements", .found = std::to_string(last)});
  }
  Machine machine;
  const std::uint32_t end = machine.add_state(true);
  std::vector<std::uint32_t> written;
  for (std::uint64_t i = 0; i <= last; ++i) written.push_back(machine.add_state());
  machine.start = written[0];
  const auto add = [&](std::uint64_t from, std::uint64_t to, std::uint64_t index) {
    const ExprId value = rule(SchemaLogic::element(flat, index));
    const ExprId space = spelling_.space();
    machine.steps.push_back({.from = written[from],
                             .to = written[to],
                             .what = from == 0 ? grammar_.sequence({space, value})
                                               : grammar_.sequence({grammar_.literal(","), space, value})});
  };
  for (std::uint64_t i = 0; i < last; ++i) add(i, i + 1, i);
  if (open && last == 0) {  // the first one has no comma
    written.push_back(machine.add_state());
    add(0, 1, 0);
    add(1, 1, 1);
  } else if (open) {
    add(last, last, last);
  }
  const ExprId close = grammar_.sequence({spelling_.space(), grammar_.literal("]")});
  for (std::uint64_t i = low; i < written.size(); ++i) {
    machine.steps.push_back({.from = written[i], .to = end, .what = close});
  }
  return grammar_.sequence({grammar_.literal("["), grammar_.machine(std::move(machine))});
}

}  // namespace powerhouse::constraints
