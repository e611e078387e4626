#include "text/jinja_value.h"

#include <algorithm>
#include <cmath>

#include "text/jinja_operators.h"

namespace powerhouse::jinja {
namespace {

constexpr std::size_t kIndexFrom = 9;  // smaller dicts are searched in order
constexpr std::size_t kObjectBytes = 96;

std::uint32_t deepest(const Values& items) {
  std::uint32_t depth = 0;
  for (const Value& item : items) depth = std::max(depth, item.depth());
  return depth;
}

Value make_sequence(Budget* budget, Kind kind, Values items, bool grouped) {
  auto sequence = std::make_shared<Sequence>(nest(deepest(items)));
  sequence->charge(budget, kObjectBytes + items.capacity() * sizeof(Value));
  sequence->items = std::move(items);
  sequence->grouped = grouped;
  return Value(kind, std::move(sequence));
}

}  // namespace

Value Value::boolean(bool value) {
  Value out(Kind::boolean);
  out.scalar_.integer = value ? 1 : 0;
  return out;
}
Value Value::integer(std::int64_t value) {
  Value out(Kind::integer);
  out.scalar_.integer = value;
  return out;
}
Value Value::real(double value) {
  Value out(Kind::real);
  out.scalar_.real = value;
  return out;
}

BigInteger Value::as_big() const {
  return kind_ == Kind::big_integer ? as<BigNumber>().value : BigInteger(scalar_.integer);
}
double Value::big_as_real() const {
  const double value = as<BigNumber>().value.to_double();
  if (std::isinf(value)) fail("int too large to convert to float");
  return value;
}

const Text& Value::text() const { return static_cast<const Text&>(*object_); }
const std::string& Value::str() const { return text().bytes; }
const Values& Value::items() const { return static_cast<const Sequence&>(*object_).items; }
const Mapping& Value::mapping() const { return static_cast<const Mapping&>(*object_); }

std::uint32_t nest(std::uint32_t inside) {
  if (inside >= kMaxValueDepth) fail(ErrorKind::range, "a value is nested too deeply");
  return inside + 1;
}

Value make_text(Budget* budget, std::string bytes, bool markup) {
  auto text = std::make_shared<Text>();
  text->charge(budget, kObjectBytes + bytes.capacity());
  if (budget != nullptr) budget->step_bytes(bytes.size());
  // Every byte that does not continue a sequence begins a code point.
  text->length = static_cast<std::size_t>(
      std::count_if(bytes.begin(), bytes.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
  text->bytes = std::move(bytes);
  text->markup = markup;
  return Value(Kind::string, std::move(text));
}

Value make_integer(Budget* budget, BigInteger value) {
  if (const auto small = value.small()) return Value::integer(*small);
  if (value.digits() > BigInteger::kMaxDigits) fail(ErrorKind::range, "an integer grows beyond 9000 digits");
  auto number = std::make_shared<BigNumber>();
  number->charge(budget, kObjectBytes + value.limbs() * sizeof(std::uint32_t));
  number->value = std::move(value);
  return Value(Kind::big_integer, std::move(number));
}

Value make_list(Budget* budget, Values items) { return make_sequence(budget, Kind::list, std::move(items), false); }
Value make_tuple(Budget* budget, Values items, bool grouped) {
  return make_sequence(budget, Kind::tuple, std::move(items), grouped);
}

Value make_dict(Budget* budget, std::shared_ptr<Mapping> mapping) {
  std::uint32_t depth = 0;
  for (const auto& [key, value] : mapping->entries) depth = std::max({depth, key.depth(), value.depth()});
  mapping->depth = nest(depth);
  mapping->charge(budget, kObjectBytes + mapping->entries.capacity() * (2 * sizeof(Value) + 32));
  return Value(Kind::dict, std::move(mapping));
}

Value make_undefined(std::string message) {
  auto info = std::make_shared<UndefinedInfo>();
  info->message = std::move(message);
  return Value(Kind::undefined, std::move(info));
}

Value make_iterator(Budget* budget, std::uint32_t depth, std::function<bool(Value&)> next) {
  auto iterator = std::make_shared<Iterator>(nest(depth));
  iterator->charge(budget, 2 * kObjectBytes);
  iterator->next = std::move(next);
  return Value(Kind::iterator, std::move(iterator));
}

std::size_t Mapping::position(Budget& budget, const Value& key, std::size_t hash) const {
  budget.step();
  if (index_.empty()) {
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (equal(budget, entries[i].first, key)) return i;
    }
    return entries.size();
  }
  const auto [first, last] = index_.equal_range(hash);
  for (auto at = first; at != last; ++at) {
    if (equal(budget, entries[at->second].first, key)) return at->second;
  }
  return entries.size();
}

const Value* Mapping::find(Budget& budget, const Value& key) const {
  const std::size_t at = position(budget, key, hash_value(budget, key));
  return at == entries.size() ? nullptr : &entries[at].second;
}

const Value* Mapping::find(std::string_view key) const {
  const auto same = [key](const Value& other) { return other.is_string() && other.str() == key; };
  if (index_.empty()) {
    for (const auto& [name, value] : entries) {
      if (same(name)) return &value;
    }
    return nullptr;
  }
  const auto [first, last] = index_.equal_range(hash_text(key));
  for (auto at = first; at != last; ++at) {
    if (same(entries[at->second].first)) return &entries[at->second].second;
  }
  return nullptr;
}

void Mapping::set(Budget& budget, const Value& key, Value value) {
  budget.step(4);  // large dicts miss the caches
  const std::size_t hash = hash_value(budget, key);
  const std::size_t at = position(budget, key, hash);
  if (at < entries.size()) {
    entries[at].second = std::move(value);
    return;
  }
  entries.emplace_back(key, std::move(value));
  if (entries.size() == kIndexFrom) {
    for (std::size_t i = 0; i < entries.size(); ++i) index_.emplace(hash_value(budget, entries[i].first), i);
  } else if (entries.size() > kIndexFrom) {
    index_.emplace(hash, at);
  }
}

std::size_t Range::length() const {
  if (step > 0 && start < stop) {
    return static_cast<std::size_t>((static_cast<std::uint64_t>(stop) - static_cast<std::uint64_t>(start) - 1) /
                                    static_cast<std::uint64_t>(step)) +
           1;
  }
  if (step < 0 && start > stop) {
    return static_cast<std::size_t>((static_cast<std::uint64_t>(start) - static_cast<std::uint64_t>(stop) - 1) /
                                    (std::uint64_t{0} - static_cast<std::uint64_t>(step))) +
           1;
  }
  return 0;
}

Value* Namespace::find(std::string_view name) {
  for (auto& [key, value] : attributes) {
    if (key == name) return &value;
  }
  return nullptr;
}

std::string_view type_name(const Value& value) {
  switch (value.kind()) {
    case Kind::missing:
    case Kind::undefined: return "Undefined";
    case Kind::none: return "NoneType";
    case Kind::boolean: return "bool";
    case Kind::integer:
    case Kind::big_integer: return "int";
    case Kind::real: return "float";
    case Kind::string: return value.text().markup ? "Markup" : "str";
    case Kind::list: return "list";
    case Kind::tuple: return "tuple";
    case Kind::dict: return "dict";
    case Kind::view: return "dict view";
    case Kind::range: return "range";
    case Kind::iterator: return "generator";
    case Kind::name_space: return "namespace";
    case Kind::callable: return "function";
    case Kind::loop: return "LoopContext";
  }
  return "object";
}

}  // namespace powerhouse::jinja
