// Arrays whose elements differ: of few values, where a machine can remember which were written.
#include <algorithm>
#include <bit>

#include "constraints/schema_compiler.h"

namespace powerhouse::constraints {
namespace {

constexpr std::size_t kMostValues = 10;  // of which a state remembers any set

constexpr const char* kWhat =
    "uniqueItems is built for elements of one list of at most ten values (enum, const, boolean)";

}  // namespace

std::vector<Json> SchemaCompiler::values_of(const Conjunction& schemas, const std::string& path) {
  std::vector<Json> out;
  const auto add = [&](const Json& value) {
    for (const Json& known : out) {
      if (same_value(known, value)) return;
    }
    out.push_back(value);
  };
  for (const FlatSchema& way : reader_.read(schemas)) {
    for (const Json* value : logic_.values(way)) add(*value);
    if (way.values) continue;
    refuse_unsupported(way, way.types);
    if ((way.types & ~(kNull | kBoolean)) != 0) schema_unsupported(kWhat, path);
    if ((way.types & kNull) != 0) add(Json());
    if ((way.types & kBoolean) != 0) add(Json(true)), add(Json(false));
  }
  if (out.size() > kMostValues) schema_unsupported(kWhat, path, std::to_string(out.size()) + " values");
  return out;
}

// A state is the set of values that were written.
ExprId SchemaCompiler::distinct(const FlatSchema& flat) {
  const std::string path = flat.path + "/uniqueItems";
  for (const auto& part : flat.elements) {
    if (!part.first.empty()) schema_unsupported(kWhat, path);
  }
  const std::vector<Json> values = values_of(SchemaLogic::element(flat, 0), path);
  const std::uint64_t high = std::min<std::uint64_t>(flat.max_items, values.size());
  if (flat.min_items > high) reader_.note_impossible(flat.path);
  Machine machine;
  const std::uint32_t end = machine.add_state(true);
  const std::size_t sets = std::size_t{1} << values.size();
  for (std::size_t set = 0; set < sets; ++set) machine.add_state();
  const auto state = [](std::size_t set) { return static_cast<std::uint32_t>(set + 1); };
  machine.start = state(0);
  const ExprId space = spelling_.space(), comma = grammar_.literal(",");
  const ExprId close = grammar_.sequence({space, grammar_.literal("]")});
  std::vector<ExprId> first, more;
  for (const Json& value : values) {
    first.push_back(grammar_.sequence({space, spelling_.literal(value)}));
    more.push_back(grammar_.sequence({comma, first.back()}));
  }
  for (std::size_t set = 0; set < sets; ++set) {
    const auto written = static_cast<std::uint64_t>(std::popcount(set));
    if (written >= flat.min_items && written <= high) machine.steps.push_back({state(set), end, close});
    for (std::size_t i = 0; i < values.size() && written < high; ++i) {
      const std::size_t with = set | std::size_t{1} << i;
      if (with != set) machine.steps.push_back({state(set), state(with), (set == 0 ? first : more)[i]});
    }
  }
  return grammar_.sequence({grammar_.literal("["), grammar_.machine(std::move(machine))});
}

}  // namespace powerhouse::constraints
