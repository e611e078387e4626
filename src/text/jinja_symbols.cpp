#include "text/jinja_symbols.h"

#include <optional>
#include <string_view>
#include <unordered_map>

#include "powerhouse/error.h"
#include "text/jinja_tree_walk.h"

namespace powerhouse::jinja {
namespace {

[[noreturn]] void fail_line(ErrorKind kind, std::uint32_t line, const std::string& message) {
  throw Error(kind, message, {.field = "chat template, line " + std::to_string(line)});
}

// What one frame knows of its names while it is analyzed. Branches of an `if` each start from the same state and are
// merged after; a journal undoes a branch, so that the cost is that of its changes.
class Analysis {
 public:
  Analysis(Frame& frame, Analysis* parent) : frame_(frame), parent_(parent) {}

  void load(const std::string& name) {
    if (!find(name)) set(name, {.known = true, .stored = false, .load = LoadKind::context});
  }
  void store(const std::string& name) {
    Symbol symbol = get(name);
    symbol.stored = true;
    if (!symbol.known) {
      symbol.known = true;
      symbol.load = parent_ != nullptr && parent_->find(name) ? LoadKind::outer : LoadKind::unset;
    }
    set(name, symbol);
  }
  void declare_parameter(const std::string& name) {
    set(name, {.known = true, .stored = true, .load = LoadKind::parameter});
  }

  void visit(const Block& block) {
    for (const StatementPtr& statement : block) visit(*statement);
  }
  void visit(const Expr* expr) {
    if (expr == nullptr) return;
    walk_names(*expr, [this](const NameExpr& name) { load(name.name); });
  }
  void visit_parameters(const Target& target) {
    if (!target.name.empty()) declare_parameter(target.name);
    for (const Target& item : target.items) visit_parameters(item);
  }
  void visit_target(const Target& target) {
    if (!target.attribute.empty()) {
      load(target.name);
    } else if (!target.name.empty()) {
      store(target.name);
    }
    for (const Target& item : target.items) visit_target(item);
  }

  // The frame's slots, once everything is visited.
  void finish() {
    frame_.loads.resize(frame_.names.size());
    for (const auto& [name, symbol] : symbols_) {
      if (!symbol.known) continue;
      Load& load = frame_.loads[slot(name)];
      load.kind = symbol.load;
      if (symbol.load == LoadKind::context) load.name = name;
      if (symbol.load == LoadKind::outer) {
        load.source = parent_->place(name);
        ++load.source.hops;
      }
    }
  }

  /// Where a name lives, seen from this frame.
  Place place(const std::string& name) {
    std::uint32_t hops = 0;
    for (Analysis* at = this; at != nullptr; at = at->parent_, ++hops) {
      if (at->get(name).known) return {.hops = hops, .slot = at->slot(name)};
    }
    load(name);
    finish();
    return {.hops = 0, .slot = slot(name)};
  }

 private:
  struct Symbol {
    bool known = false;   // the frame has a slot of this name
    bool stored = false;  // something in the frame assigns it
    LoadKind load = LoadKind::unset;
  };

  std::uint32_t slot(const std::string& name) {
    const auto [at, added] = slots_.try_emplace(name, static_cast<std::uint32_t>(frame_.names.size()));
    if (added) frame_.names.push_back(name);
    return at->second;
  }
  Symbol get(const std::string& name) const {
    const auto found = symbols_.find(name);
    return found == symbols_.end() ? Symbol{} : found->second;
  }
  void set(const std::string& name, Symbol symbol) {
    slot(name);
    Symbol& entry = symbols_[name];
    journal_.emplace_back(name, entry);
    entry = symbol;
  }
  bool find(const std::string& name) const {
    for (const Analysis* at = this; at != nullptr; at = at->parent_) {
      if (at->get(name).known) return true;
    }
    return false;
  }

  void visit(const Statement& statement) {
    switch (statement.kind) {
      case StatementKind::print: visit(static_cast<const PrintStatement&>(statement).value.get()); return;
      case StatementKind::condition: visit_condition(static_cast<const ConditionStatement&>(statement)); return;
      // Loops and the other frames are visited for themselves; here only what they read from this one.
      case StatementKind::loop: visit(static_cast<const LoopStatement&>(statement).iterable.get()); return;
      case StatementKind::set: {
        const auto& node = static_cast<const SetStatement&>(statement);
        visit(node.value.get());
        visit_target(node.target);
        return;
      }
      case StatementKind::set_block: visit_target(static_cast<const SetBlockStatement&>(statement).target); return;
      case StatementKind::macro: visit_target(static_cast<const MacroStatement&>(statement).target); return;
      case StatementKind::call_block: visit(static_cast<const CallBlockStatement&>(statement).call.get()); return;
      case StatementKind::filter_block: visit(static_cast<const FilterBlockStatement&>(statement).filter.get()); return;
      case StatementKind::with:
        for (const auto& [target, value] : static_cast<const WithStatement&>(statement).variables) visit(value.get());
        return;
      case StatementKind::text:
      case StatementKind::break_loop:
      case StatementKind::continue_loop: return;
    }
  }

  using Changes = std::vector<std::pair<std::string, Symbol>>;

  template <typename Visit>
  Changes branch(Visit&& visit_branch) {
    const std::size_t mark = journal_.size();
    visit_branch();
    Changes changes;
    for (std::size_t i = mark; i < journal_.size(); ++i) {
      changes.emplace_back(journal_[i].first, get(journal_[i].first));
    }
    for (; journal_.size() > mark; journal_.pop_back()) symbols_[journal_.back().first] = journal_.back().second;
    return changes;
  }

  // jinja2's tree holds each `elif` as an `if` of its own, whose branches are merged before the next is read.
  void visit_condition(const ConditionStatement& node) {
    visit(node.branches.front().first.get());
    std::vector<Changes> branches;
    branches.push_back(branch([&] { visit(node.branches.front().second); }));
    branches.push_back(branch([&] {
      for (std::size_t i = 1; i < node.branches.size(); ++i) {
        visit(node.branches[i].first.get());
        merge({branch([&] { visit(node.branches[i].second); })});
      }
    }));
    branches.push_back(branch([&] { visit(node.otherwise); }));
    merge(branches);
  }

  void merge(const std::vector<Changes>& branches) {
    std::vector<std::string> newly_stored;
    for (const Changes& changes : branches) {
      for (const auto& [name, symbol] : changes) {
        Symbol merged = get(name);
        if (symbol.stored && !merged.stored) newly_stored.push_back(name);
      }
    }
    for (const Changes& changes : branches) {
      for (const auto& [name, symbol] : changes) {
        const bool stored = get(name).stored || symbol.stored;
        set(name, {.known = symbol.known, .stored = stored, .load = symbol.load});
      }
    }
    // A name that only some branch assigns keeps, on the others, the value it has outside.
    for (const std::string& name : newly_stored) {
      Symbol symbol = get(name);
      symbol.load = parent_ != nullptr && parent_->find(name) ? LoadKind::outer : LoadKind::context;
      set(name, symbol);
    }
  }

  Frame& frame_;
  Analysis* parent_;
  std::unordered_map<std::string, Symbol> symbols_;
  std::unordered_map<std::string, std::uint32_t> slots_;
  std::vector<std::pair<std::string, Symbol>> journal_;
};

// Walks the tree once more, now that each frame is known, and gives every name its place.
class Resolver {
 public:
  void resolve(Block& block, Analysis& frame, bool soft) {
    for (StatementPtr& statement : block) resolve(*statement, frame, soft);
  }

 private:
  // `soft`: inside an `if` or a conditional expression, where an unknown filter fails only when it is reached.
  void resolve(Expr* expr, Analysis& frame, bool soft) {
    if (expr == nullptr) return;
    if (expr->kind == ExprKind::name) {
      auto& name = static_cast<NameExpr&>(*expr);
      name.place = frame.place(name.name);
      return;
    }
    if ((expr->kind == ExprKind::filter || expr->kind == ExprKind::test) && !soft) {
      const auto& filter = static_cast<const FilterExpr&>(*expr);
      if (filter.builtin == nullptr) {
        fail_line(ErrorKind::unsupported, expr->line,
                  (expr->kind == ExprKind::filter ? "no filter named '" : "no test named '") + filter.name + "'");
      }
    }
    const bool inner_soft = soft || expr->kind == ExprKind::conditional;
    for_each_child(*expr, [&](Expr& child) { resolve(&child, frame, inner_soft); });
  }

  void resolve(Target& target, Analysis& frame) {
    if (!target.name.empty()) target.place = frame.place(target.name);
    for (Target& item : target.items) resolve(item, frame);
  }

  void resolve(Statement& statement, Analysis& frame, bool soft) {
    switch (statement.kind) {
      case StatementKind::print: resolve(static_cast<PrintStatement&>(statement).value.get(), frame, soft); return;
      case StatementKind::condition: {
        auto& node = static_cast<ConditionStatement&>(statement);
        for (auto& [condition, body] : node.branches) {
          resolve(condition.get(), frame, true);
          resolve(body, frame, true);
        }
        resolve(node.otherwise, frame, true);
        return;
      }
      case StatementKind::loop: resolve_loop(static_cast<LoopStatement&>(statement), frame, soft); return;
      case StatementKind::set: {
        auto& node = static_cast<SetStatement&>(statement);
        resolve(node.value.get(), frame, soft);
        resolve(node.target, frame);
        return;
      }
      case StatementKind::set_block: {
        auto& node = static_cast<SetBlockStatement&>(statement);
        Analysis inner(node.frame, &frame);
        inner.visit(node.body);
        inner.visit(node.filter.get());
        inner.finish();
        resolve(node.body, inner, false);
        resolve(node.filter.get(), inner, false);
        resolve(node.target, frame);
        return;
      }
      case StatementKind::macro: {
        auto& node = static_cast<MacroStatement&>(statement);
        resolve_macro(node.macro, frame, node.line);
        resolve(node.target, frame);
        return;
      }
      case StatementKind::call_block: {
        auto& node = static_cast<CallBlockStatement&>(statement);
        resolve_macro(node.macro, frame, node.line);
        resolve(node.call.get(), frame, soft);
        return;
      }
      case StatementKind::filter_block: {
        auto& node = static_cast<FilterBlockStatement&>(statement);
        Analysis inner(node.frame, &frame);
        inner.visit(node.body);
        inner.visit(node.filter.get());
        inner.finish();
        resolve(node.body, inner, false);
        resolve(node.filter.get(), inner, false);
        return;
      }
      case StatementKind::with: {
        auto& node = static_cast<WithStatement&>(statement);
        Analysis inner(node.frame, &frame);
        for (const auto& [target, value] : node.variables) inner.visit_parameters(target);
        inner.visit(node.body);
        inner.finish();
        for (auto& [target, value] : node.variables) {
          resolve(value.get(), frame, soft);
          resolve(target, inner);
        }
        resolve(node.body, inner, false);
        return;
      }
      case StatementKind::text:
      case StatementKind::break_loop:
      case StatementKind::continue_loop: return;
    }
  }

  void resolve_loop(LoopStatement& node, Analysis& frame, bool soft) {
    if (const auto line = find_store(node, "loop")) {
      fail_line(ErrorKind::format, *line, "the special variable 'loop' cannot be assigned to inside a loop");
    }
    node.extended = node.recursive || !undeclared_names(node.body, {"loop"}).empty();
    Analysis body(node.frame, &frame);
    if (node.extended) body.declare_parameter("loop");
    body.visit_parameters(node.target);
    body.visit(node.body);
    body.finish();
    Analysis otherwise(node.otherwise_frame, &frame);
    otherwise.visit(node.otherwise);
    otherwise.finish();
    if (node.test) {
      Analysis test(node.test_frame, &frame);
      test.visit_parameters(node.test_target);
      test.visit(node.test.get());
      test.finish();
      resolve(node.test.get(), test, false);
      resolve(node.test_target, test);
    }
    resolve(node.iterable.get(), frame, soft);
    resolve(node.target, body);
    if (node.extended) node.loop_variable = body.place("loop");
    resolve(node.body, body, false);
    resolve(node.otherwise, otherwise, false);
  }

  void resolve_macro(MacroNode& macro, Analysis& frame, std::uint32_t line) {
    Analysis inner(macro.frame, &frame);
    for (const Target& parameter : macro.parameters) inner.visit_parameters(parameter);
    for (const ExprPtr& value : macro.defaults) inner.visit(value.get());
    inner.visit(macro.body);
    for (const std::string& name : undeclared_names(macro.body, {"caller", "kwargs", "varargs"})) {
      declare_special(macro, inner, name, line);
    }
    inner.finish();
    for (Target& parameter : macro.parameters) resolve(parameter, inner);
    for (ExprPtr& value : macro.defaults) resolve(value.get(), inner, false);
    if (macro.uses_caller) macro.caller = inner.place("caller");
    if (macro.uses_kwargs) macro.kwargs = inner.place("kwargs");
    if (macro.uses_varargs) macro.varargs = inner.place("varargs");
    resolve(macro.body, inner, false);
  }

  static void declare_special(MacroNode& macro, Analysis& inner, const std::string& name, std::uint32_t line) {
    for (std::size_t i = 0; i < macro.parameters.size(); ++i) {
      if (macro.parameters[i].name != name) continue;
      if (name == "caller" && i + macro.defaults.size() < macro.parameters.size()) {
        fail_line(ErrorKind::format, line, "the parameter 'caller' of a macro needs a default");
      }
      return;  // an ordinary parameter of that name
    }
    (name == "caller" ? macro.uses_caller : name == "kwargs" ? macro.uses_kwargs : macro.uses_varargs) = true;
    inner.declare_parameter(name);
  }
};

}  // namespace

void resolve_symbols(Template& parsed) {
  Analysis root(parsed.frame, nullptr);
  root.visit(parsed.body);
  root.finish();
  Resolver().resolve(parsed.body, root, false);
}

}  // namespace powerhouse::jinja
