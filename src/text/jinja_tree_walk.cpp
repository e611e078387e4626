#include "text/jinja_tree_walk.h"

#include <algorithm>

namespace powerhouse::jinja {
namespace {

// Names and targets in source order. `Reader` has read(name) and write(target, is_parameter).
template <typename Reader>
class Walk {
 public:
  explicit Walk(Reader& reader) : reader_(reader) {}

  void block(const Block& body) {
    for (const StatementPtr& item : body) statement(*item);
  }
  void statement(const Statement& node) {
    switch (node.kind) {
      case StatementKind::print: return expr(static_cast<const PrintStatement&>(node).value);
      case StatementKind::condition: {
        const auto& condition = static_cast<const ConditionStatement&>(node);
        for (const auto& [test, body] : condition.branches) {
          expr(test);
          block(body);
        }
        return block(condition.otherwise);
      }
      case StatementKind::loop: {
        const auto& loop = static_cast<const LoopStatement&>(node);
        target(loop.target, false);
        expr(loop.iterable);
        block(loop.body);
        block(loop.otherwise);
        return expr(loop.test);
      }
      case StatementKind::set: {
        const auto& set = static_cast<const SetStatement&>(node);
        target(set.target, false);
        return expr(set.value);
      }
      case StatementKind::set_block: {
        const auto& set = static_cast<const SetBlockStatement&>(node);
        target(set.target, false);
        expr(set.filter);
        return block(set.body);
      }
      case StatementKind::macro: return macro(static_cast<const MacroStatement&>(node).macro);
      case StatementKind::call_block: {
        const auto& call = static_cast<const CallBlockStatement&>(node);
        expr(call.call);
        return macro(call.macro);
      }
      case StatementKind::filter_block: {
        const auto& filter = static_cast<const FilterBlockStatement&>(node);
        block(filter.body);
        return expr(filter.filter);
      }
      case StatementKind::with: {
        const auto& with = static_cast<const WithStatement&>(node);
        for (const auto& [variable, value] : with.variables) target(variable, true);
        for (const auto& [variable, value] : with.variables) expr(value);
        return block(with.body);
      }
      case StatementKind::text:
      case StatementKind::break_loop:
      case StatementKind::continue_loop: return;
    }
  }
  void target(const Target& node, bool parameter) {
    if (!node.name.empty() && node.attribute.empty()) reader_.write(node, parameter);
    for (const Target& item : node.items) target(item, parameter);
  }

 private:
  void expr(const ExprPtr& node) {
    if (node) walk_names(*node, [this](const NameExpr& name) { reader_.read(name.name); });
  }
  void macro(const MacroNode& node) {
    for (const Target& parameter : node.parameters) target(parameter, true);
    for (const ExprPtr& value : node.defaults) expr(value);
    block(node.body);
  }

  Reader& reader_;
};

struct UndeclaredReader {
  std::vector<std::string> wanted, found;
  void read(const std::string& name) {
    if (std::find(wanted.begin(), wanted.end(), name) == wanted.end()) return;
    if (std::find(found.begin(), found.end(), name) == found.end()) found.push_back(name);
  }
  void write(const Target& target, bool) { std::erase(wanted, target.name); }
};

struct StoreReader {
  std::string_view wanted;
  std::optional<std::uint32_t> line{};
  void read(const std::string&) {}
  void write(const Target& target, bool parameter) {
    if (!parameter && !line && target.name == wanted) line = target.line;
  }
};

}  // namespace

std::vector<std::string> undeclared_names(const Block& body, std::vector<std::string> names) {
  UndeclaredReader reader{.wanted = std::move(names), .found = {}};
  Walk<UndeclaredReader>(reader).block(body);
  return reader.found;
}

std::optional<std::uint32_t> find_store(const LoopStatement& loop, std::string_view name) {
  StoreReader reader{.wanted = name};
  Walk<StoreReader>(reader).statement(loop);
  return reader.line;
}

}  // namespace powerhouse::jinja
