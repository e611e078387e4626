// Walking, subscription and slices of jinja_operators.h. Strings count code points.
#include <limits>

#include "text/jinja_operators.h"
#include "text/jinja_strings.h"

namespace powerhouse::jinja {
namespace {

Value view_element(Budget& budget, ViewPart part, const std::pair<Value, Value>& entry) {
  switch (part) {
    case ViewPart::keys: return entry.first;
    case ViewPart::values: return entry.second;
    case ViewPart::items: break;
  }
  return make_tuple(&budget, {entry.first, entry.second});
}

std::function<bool(Value&)> iterate_text(Budget& budget, const Value& value) {
  return [&budget, value, at = std::size_t{0}](Value& out) mutable {
    const Text& text = value.text();
    if (at >= text.bytes.size()) return false;
    budget.step();
    const std::size_t length = code_point_bytes(text.bytes, at);
    out = make_text(&budget, text.bytes.substr(at, length));
    at += length;
    return true;
  };
}

// The integer of a slice bound; far-away values are clamped, which changes no slice.
std::int64_t slice_bound(const Value& value) {
  constexpr std::int64_t kFar = std::numeric_limits<std::int64_t>::max() / 4;
  if (value.kind() == Kind::big_integer) return value.as<BigNumber>().value.negative() ? -kFar : kFar;
  if (!value.is_integral()) fail_type("slice indices must be integers or None", value);
  return std::min(std::max(value.as_integer(), -kFar), kFar);
}

bool absent(const Value& value) { return value.is_missing() || value.is_none(); }

}  // namespace

bool is_iterable(const Value& value) {
  switch (value.kind()) {
    case Kind::undefined:
    case Kind::string:
    case Kind::list:
    case Kind::tuple:
    case Kind::dict:
    case Kind::view:
    case Kind::range:
    case Kind::iterator:
    case Kind::loop: return true;
    default: return false;
  }
}

std::function<bool(Value&)> iterate(Budget& budget, const Value& value) {
  switch (value.kind()) {
    case Kind::undefined: return [](Value&) { return false; };
    case Kind::string: return iterate_text(budget, value);
    case Kind::list:
    case Kind::tuple:
      return [&budget, value, at = std::size_t{0}](Value& out) mutable {
        if (at >= value.items().size()) return false;
        budget.step();
        out = value.items()[at++];
        return true;
      };
    case Kind::dict:
    case Kind::view: {
      const bool whole = value.kind() == Kind::dict;
      return [&budget, mapping = whole ? value.object() : value.as<View>().mapping,
              part = whole ? ViewPart::keys : value.as<View>().part, at = std::size_t{0}](Value& out) mutable {
        const auto& entries = static_cast<const Mapping&>(*mapping).entries;
        if (at >= entries.size()) return false;
        budget.step();
        out = view_element(budget, part, entries[at++]);
        return true;
      };
    }
    case Kind::range:
      return [&budget, value, at = std::size_t{0}](Value& out) mutable {
        const Range& range = value.as<Range>();
        if (at >= range.length()) return false;
        budget.step();
        out = Value::integer(range.at(at++));
        return true;
      };
    case Kind::iterator:
      return [&budget, value](Value& out) {
        budget.step();
        return value.as<Iterator>().next(out);
      };
    case Kind::loop: fail(ErrorKind::unsupported, "iteration over the loop variable");
    default: fail("'" + std::string(type_name(value)) + "' object is not iterable");
  }
}

Values collect(Budget& budget, const Value& value) {
  if (value.is_sequence()) {
    budget.step(value.items().size());
    budget.expect_room(value.items().size(), sizeof(Value));
    return value.items();
  }
  Values out;
  if (const auto length = length_of(value)) {
    budget.expect_room(*length, sizeof(Value));
    out.reserve(*length);
  }
  const auto next = iterate(budget, value);
  for (Value element; next(element);) {
    if (out.size() == out.capacity()) budget.expect_room(2 * out.size() + 1, sizeof(Value));
    out.push_back(std::move(element));
  }
  return out;
}

Value subscript(Budget& budget, const Value& value, const Value& index) {
  if (value.is_undefined()) fail_undefined(value);
  if (value.kind() == Kind::dict) {
    if (index.is_string()) {
      const Value* found = value.mapping().find(index.str());
      return found != nullptr ? *found : Value();
    }
    try {
      const Value* found = value.mapping().find(budget, index);
      return found != nullptr ? *found : Value();
    } catch (const Failure& failure) {
      if (failure.kind != ErrorKind::format) throw;
      return Value();  // an unhashable key: a TypeError, which jinja2 takes for an absent item
    }
  }
  const bool indexable = value.is_string() || value.is_sequence() || value.kind() == Kind::range;
  if (!indexable || !index.is_integral()) return Value();
  const auto length = static_cast<std::int64_t>(*length_of(value));
  std::int64_t at = index.as_integer();
  if (at < 0) at += length;
  if (at < 0 || at >= length) return Value();
  const auto place = static_cast<std::size_t>(at);
  if (value.is_sequence()) return value.items()[place];
  if (value.kind() == Kind::range) return Value::integer(value.as<Range>().at(place));
  const Text& text = value.text();
  if (!text.ascii()) budget.step_characters(text.bytes.size());
  const std::size_t from = byte_offset(text, place);
  return make_text(&budget, text.bytes.substr(from, code_point_bytes(text.bytes, from)), text.markup);
}

Value slice(Budget& budget, const Value& value, const Value& start, const Value& stop, const Value& step) {
  const bool sliceable = value.is_string() || value.is_sequence() || value.kind() == Kind::range;
  if (!sliceable) {
    if (value.is_undefined()) fail_undefined(value);
    fail("'" + std::string(type_name(value)) + "' object cannot be sliced");
  }
  const std::int64_t stride = absent(step) ? 1 : slice_bound(step);
  if (stride == 0) fail("slice step cannot be zero");
  const auto length = static_cast<std::int64_t>(*length_of(value));
  const std::int64_t lowest = stride < 0 ? -1 : 0, highest = stride < 0 ? length - 1 : length;
  const auto place = [&](const Value& bound, std::int64_t otherwise) {
    if (absent(bound)) return otherwise;
    const std::int64_t at = slice_bound(bound);
    return std::min(std::max(at < 0 ? at + length : at, lowest), highest);
  };
  auto range = std::make_shared<Range>();
  range->start = place(start, stride < 0 ? highest : lowest);
  range->stop = place(stop, stride < 0 ? lowest : highest);
  range->step = stride;
  const std::size_t count = range->length();
  budget.step(count);
  if (value.kind() == Kind::range) {
    const Range& whole = value.as<Range>();
    range->stop = checked_add(whole.start, checked_multiply(range->stop, whole.step));
    range->start = checked_add(whole.start, checked_multiply(range->start, whole.step));
    range->step = checked_multiply(range->step, whole.step);
    return Value(Kind::range, std::move(range));
  }
  if (value.is_sequence()) {
    budget.expect_room(count, sizeof(Value));
    Values items;
    items.reserve(count);
    for (std::size_t i = 0; i < count; ++i) items.push_back(value.items()[static_cast<std::size_t>(range->at(i))]);
    return value.kind() == Kind::list ? make_list(&budget, std::move(items)) : make_tuple(&budget, std::move(items));
  }
  const Text& text = value.text();
  if (count == 0) return make_text(&budget, {}, text.markup);
  if (!text.ascii()) budget.step_characters(text.bytes.size());
  if (stride == 1) {
    const std::size_t from = byte_offset(text, static_cast<std::size_t>(range->start));
    const std::size_t to = byte_offset(text, static_cast<std::size_t>(range->start) + count);
    budget.expect_room(to - from);
    return make_text(&budget, text.bytes.substr(from, to - from), text.markup);
  }
  const std::vector<std::size_t> offsets = code_point_offsets(budget, text);
  TextBuilder out(budget);
  for (std::size_t i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(range->at(i));
    out.append(std::string_view(text.bytes).substr(offsets[at], offsets[at + 1] - offsets[at]));
  }
  return make_text(&budget, out.take(), text.markup);
}

}  // namespace powerhouse::jinja
