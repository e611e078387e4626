// Value: a Python object as a chat template meets it. Scalars by value, everything else shared by reference count.
//
// Strings, lists, tuples and dicts never change once made (the sandbox is immutable), so only namespaces and loops can
// close a cycle; the interpreter owns those and empties them at the end. Objects charge their bytes to the Budget they
// were made under. Nesting is bounded when an object is made, so no destructor or printer recurses without end.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "text/jinja_big_integer.h"
#include "text/jinja_budget.h"

namespace powerhouse::jinja {

enum class Kind : std::uint8_t {
  missing,  // no value at all: an unset variable or an absent argument; templates never hold it
  undefined,
  none,
  boolean,
  integer,      // of 64 bits
  big_integer,  // and beyond: never one that 64 bits hold
  real,
  string,
  list,
  tuple,
  dict,
  view,  // dict.keys(), .values(), .items()
  range,
  iterator,  // a generator: runs once
  name_space,
  callable,
  loop
};

class Value;
using Values = std::vector<Value>;

/// The base of everything shared.
struct Object {
  explicit Object(std::uint32_t nesting = 0) : depth(nesting) {}
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() {
    if (budget != nullptr) budget->release(charged);
  }
  void charge(Budget* to, std::size_t bytes) {
    if (to == nullptr) return;
    to->step(2);  // what an allocation costs beside a node
    to->hold(bytes);
    budget = to;
    charged = bytes;
  }

  std::uint32_t depth = 0;  // of the containers inside
  Budget* budget = nullptr;
  std::size_t charged = 0;
};

struct Text;
struct Sequence;
struct Mapping;
struct View;
struct Range;
struct Iterator;
struct Namespace;
struct Callable;
struct Loop;
struct UndefinedInfo;

class Value {
 public:
  Value() = default;
  static Value none() { return Value(Kind::none); }
  static Value boolean(bool value);
  static Value integer(std::int64_t value);
  static Value real(double value);
  Value(Kind kind, std::shared_ptr<Object> object) : kind_(kind), object_(std::move(object)) {}

  Kind kind() const { return kind_; }
  bool is_missing() const { return kind_ == Kind::missing; }
  bool is_undefined() const { return kind_ == Kind::undefined; }
  bool is_none() const { return kind_ == Kind::none; }
  bool is_string() const { return kind_ == Kind::string; }
  bool is_sequence() const { return kind_ == Kind::list || kind_ == Kind::tuple; }
  /// bool counts as int in Python.
  bool is_integral() const { return kind_ == Kind::integer || kind_ == Kind::boolean; }
  /// An int of any size.
  bool is_whole() const { return is_integral() || kind_ == Kind::big_integer; }
  bool is_number() const { return is_whole() || kind_ == Kind::real; }

  bool as_boolean() const { return scalar_.integer != 0; }
  std::int64_t as_integer() const { return scalar_.integer; }  // of an integer or boolean
  /// Of any number. Fails where a big integer has no double.
  double as_real() const {
    if (kind_ == Kind::big_integer) return big_as_real();
    return kind_ == Kind::real ? scalar_.real : static_cast<double>(scalar_.integer);
  }
  /// Of any int.
  BigInteger as_big() const;

  // The object behind; the caller has looked at kind().
  const Text& text() const;
  const std::string& str() const;  // text().bytes
  const Values& items() const;     // of a list or tuple
  const Mapping& mapping() const;
  template <typename T>
  T& as() const {
    return static_cast<T&>(*object_);
  }
  const std::shared_ptr<Object>& object() const { return object_; }
  std::uint32_t depth() const { return object_ ? object_->depth : 0; }

 private:
  explicit Value(Kind kind) : kind_(kind) {}
  double big_as_real() const;

  Kind kind_ = Kind::missing;
  union {
    std::int64_t integer = 0;
    double real;
  } scalar_;
  std::shared_ptr<Object> object_;
};

/// A string: UTF-8, measured in code points as Python does.
struct Text : Object {
  std::string bytes;
  std::size_t length = 0;  // code points
  bool markup = false;     // made by the `safe` or `escape` filter: markupsafe.Markup
  bool ascii() const { return length == bytes.size(); }
};

struct BigNumber : Object {
  BigInteger value;
};

struct Sequence : Object {
  using Object::Object;
  Values items;
  bool grouped = false;  // a tuple of `groupby`, with the attributes grouper and list
};

/// A dict in insertion order, immutable once shared.
struct Mapping : Object {
  /// Adds, or replaces the value of an equal key. Fails where the key is unhashable.
  void set(Budget& budget, const Value& key, Value value);
  const Value* find(Budget& budget, const Value& key) const;  // nullptr where absent
  const Value* find(std::string_view key) const;

  std::vector<std::pair<Value, Value>> entries;

 private:
  std::size_t position(Budget& budget, const Value& key, std::size_t hash) const;
  std::unordered_multimap<std::size_t, std::size_t> index_;  // filled beyond a few entries
};

enum class ViewPart : std::uint8_t { keys, values, items };
struct View : Object {
  using Object::Object;
  std::shared_ptr<Object> mapping;  // a Mapping
  ViewPart part = ViewPart::keys;
};

struct Range : Object {
  std::int64_t start = 0, stop = 0, step = 1;
  std::size_t length() const;
  std::int64_t at(std::size_t i) const { return start + static_cast<std::int64_t>(i) * step; }
};

/// A generator. `next` fills its argument, or returns false at the end (and from then on).
struct Iterator : Object {
  using Object::Object;
  std::function<bool(Value&)> next;
};

/// namespace(): the one mutable object of templates.
struct Namespace : Object {
  std::vector<std::pair<std::string, Value>> attributes;
  Value* find(std::string_view name);
};

/// The arguments of a call as written.
struct Arguments {
  Values positional;
  std::vector<std::pair<std::string, Value>> keyword;
};

struct Builtin;    // jinja_builtins.h
struct MacroNode;  // jinja_ast.h
struct Scope;      // jinja_interpreter.h

/// Something to call: a builtin, perhaps bound to the value it is a method of, or a macro with the scope it closes
/// over.
struct Callable : Object {
  using Object::Object;
  const Builtin* builtin = nullptr;
  Value self;
  const MacroNode* macro = nullptr;
  Scope* scope = nullptr;  // owned by the interpreter
};

/// Why a value is undefined; operations on it fail with these words.
struct UndefinedInfo : Object {
  std::string message;
};

// Makers. `budget` may be null for the constants of a compiled template.
Value make_text(Budget* budget, std::string bytes, bool markup = false);
/// An int of whatever size it needs. Fails beyond BigInteger::kMaxDigits.
Value make_integer(Budget* budget, BigInteger value);
Value make_list(Budget* budget, Values items);
Value make_tuple(Budget* budget, Values items, bool grouped = false);
Value make_dict(Budget* budget, std::shared_ptr<Mapping> mapping);
Value make_undefined(std::string message);
Value make_iterator(Budget* budget, std::uint32_t depth, std::function<bool(Value&)> next);
/// 1 + the deepest of `inside`; fails beyond kMaxValueDepth.
std::uint32_t nest(std::uint32_t inside);

/// Python's name of the type, as in error messages: "str", "dict", "NoneType".
std::string_view type_name(const Value& value);

}  // namespace powerhouse::jinja
