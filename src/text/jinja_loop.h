// The `loop` variable: where a for loop stands, with one element of look-ahead.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "text/jinja_value.h"

namespace powerhouse::jinja {

struct LoopStatement;

struct Loop : Object {
  /// `next` yields the elements; `length` is known unless the loop filters or walks a generator.
  Loop(Budget& budget, std::uint32_t nesting, std::function<bool(Value&)> next, std::optional<std::size_t> length,
       std::size_t depth0);

  /// Moves to the next element; false at the end.
  bool advance();
  /// Forgets the source: after the loop has ended it may refer to what is gone.
  void close();

  /// loop.<name>; missing where there is no such attribute. Methods are the interpreter's.
  Value attribute(std::string_view name);
  Value cycle(const Values& values) const;
  bool changed(const Values& values);
  std::string description();

  Value current;
  const LoopStatement* recursion = nullptr;  // of a recursive loop, while it runs
  Scope* scope = nullptr;                    // around that loop
  std::size_t depth0 = 0;
  Value last_changed;  // a tuple, once changed() was called

 private:
  bool peek();
  std::size_t length();

  Budget& budget_of_loop_;
  std::function<bool(Value&)> next_;
  std::optional<std::size_t> length_;
  std::int64_t index0_ = -1;
  Value before_, after_;
};

}  // namespace powerhouse::jinja
