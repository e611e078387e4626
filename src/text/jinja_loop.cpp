#include "text/jinja_loop.h"

#include "text/jinja_operators.h"

namespace powerhouse::jinja {

Loop::Loop(Budget& budget, std::uint32_t nesting, std::function<bool(Value&)> next, std::optional<std::size_t> length,
           std::size_t depth)
    : Object(nesting), depth0(depth), budget_of_loop_(budget), next_(std::move(next)), length_(length) {
  charge(&budget, 512);
}

bool Loop::advance() {
  Value element;
  if (!after_.is_missing()) {
    element = std::exchange(after_, Value());
  } else if (!next_(element)) {
    return false;
  }
  ++index0_;
  before_ = std::exchange(current, std::move(element));
  return true;
}

void Loop::close() {
  next_ = [](Value&) { return false; };
  recursion = nullptr;
  scope = nullptr;
}

bool Loop::peek() {
  if (after_.is_missing()) {
    Value element;
    if (next_(element)) after_ = std::move(element);
  }
  return !after_.is_missing();
}

// A generator has no length: the rest is drawn and kept.
std::size_t Loop::length() {
  if (length_) return *length_;
  Values rest;
  for (Value element; next_(element);) {
    if (rest.size() == rest.capacity()) budget_of_loop_.expect_room(2 * rest.size() + 1, sizeof(Value));
    rest.push_back(std::move(element));
  }
  length_ = rest.size() + static_cast<std::size_t>(index0_ + 1) + (after_.is_missing() ? 0 : 1);
  next_ = iterate(budget_of_loop_, make_list(&budget_of_loop_, std::move(rest)));
  return *length_;
}

Value Loop::attribute(std::string_view name) {
  const auto integer = [](std::int64_t value) { return Value::integer(value); };
  if (name == "index") return integer(index0_ + 1);
  if (name == "index0") return integer(index0_);
  if (name == "first") return Value::boolean(index0_ == 0);
  if (name == "last") return Value::boolean(!peek());
  if (name == "length") return integer(static_cast<std::int64_t>(length()));
  if (name == "revindex") return integer(static_cast<std::int64_t>(length()) - index0_);
  if (name == "revindex0") return integer(static_cast<std::int64_t>(length()) - index0_ - 1);
  if (name == "depth") return integer(static_cast<std::int64_t>(depth0) + 1);
  if (name == "depth0") return integer(static_cast<std::int64_t>(depth0));
  if (name == "previtem") return index0_ == 0 ? make_undefined("there is no previous item") : before_;
  if (name == "nextitem") return peek() ? after_ : make_undefined("there is no next item");
  return Value();
}

Value Loop::cycle(const Values& values) const {
  if (values.empty()) fail("no items for cycling given");
  return values[static_cast<std::size_t>(index0_) % values.size()];
}

bool Loop::changed(const Values& values) {
  Value now = make_tuple(&budget_of_loop_, values);
  if (!last_changed.is_missing() && equal(budget_of_loop_, now, last_changed)) return false;
  last_changed = std::move(now);
  return true;
}

std::string Loop::description() {
  return "<LoopContext " + std::to_string(index0_ + 1) + "/" + std::to_string(length()) + ">";
}

}  // namespace powerhouse::jinja
