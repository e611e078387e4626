// Global functions, and the methods of lists, dicts and the loop variable.
#include <algorithm>
#include <chrono>
#include <ctime>

#include "text/jinja_builtins.h"
#include "text/jinja_interpreter.h"
#include "text/jinja_operators.h"
#include "text/jinja_strings.h"

namespace powerhouse::jinja {
namespace {

Value raise_exception(BuiltinCall& call) { fail(to_text(call.budget, call[0]).str()); }

// datetime.now().strftime(format): local time without a zone, so %z and %Z are empty; %f are microseconds.
Value strftime_now(BuiltinCall& call) {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  std::tm local{};
  localtime_r(&seconds, &local);
  std::string format;
  const std::string& given = call.text(0).bytes;
  for (std::size_t at = 0; at < given.size(); ++at) {
    if (given[at] != '%' || at + 1 == given.size()) {
      format += given[at];
      continue;
    }
    const char directive = given[++at];
    if (directive == 'f') {
      const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count();
      const std::string digits = std::to_string(micros % 1000000);
      format += std::string(6 - digits.size(), '0') + digits;
    } else if (directive != 'z' && directive != 'Z') {
      format += '%';
      format += directive;
    }
  }
  if (format.find('\0') != std::string::npos) fail("embedded null character");
  // The blank tells an empty result from one that does not fit.
  format += ' ';
  std::string out(4096, '\0');
  const std::size_t length = std::strftime(out.data(), out.size(), format.c_str(), &local);
  if (length == 0) fail(ErrorKind::range, "strftime_now makes more than 4096 bytes");
  out.resize(length - 1);
  return call.make(std::move(out));
}

Value range(BuiltinCall& call) {
  auto range = std::make_shared<Range>();
  range->stop = expect_integer(call[0], "range's argument");
  if (call.has(1)) range->start = std::exchange(range->stop, expect_integer(call[1], "range's argument"));
  range->step = call.integer(2, 1);
  if (range->step == 0) fail("range() arg 3 must not be zero");
  if (range->length() > kMaxRange) fail("Range too big. The sandbox blocks ranges larger than 100000.");
  range->charge(&call.budget, 64);
  return Value(Kind::range, std::move(range));
}

// What dict() is made of: a mapping or pairs, then keywords.
std::shared_ptr<Mapping> make_mapping(BuiltinCall& call) {
  auto mapping = std::make_shared<Mapping>();
  if (call.has(0) && call[0].kind() == Kind::dict) {
    for (const auto& [key, value] : call[0].mapping().entries) mapping->set(call.budget, key, value);
  } else if (call.has(0)) {
    const auto next = iterate(call.budget, call[0]);
    for (Value pair; next(pair);) {
      const Values both = collect(call.budget, pair);
      if (both.size() != 2) fail("dict() takes pairs");
      call.budget.expect_room(128 * (mapping->entries.size() + 1));
      mapping->set(call.budget, both[0], both[1]);
    }
  }
  for (const auto& [key, value] : call.rest.keyword) mapping->set(call.budget, call.make(key), value);
  return mapping;
}

Value dict(BuiltinCall& call) { return make_dict(&call.budget, make_mapping(call)); }

Value make_namespace(BuiltinCall& call) {
  std::vector<std::pair<std::string, Value>> attributes;
  const auto mapping = make_mapping(call);
  for (const auto& [key, value] : mapping->entries) {
    if (!key.is_string()) fail(ErrorKind::unsupported, "a namespace with attributes that are no strings");
    attributes.emplace_back(key.str(), value);
  }
  return call.interpreter.make_namespace(std::move(attributes));
}

constexpr Builtin kGlobals[] = {
    {"dict", "mapping? / **", dict},
    {"namespace", "mapping? / **", make_namespace},
    {"raise_exception", "message", raise_exception},
    {"range", "start stop? step? /", range},
    {"strftime_now", "format", strftime_now},
    {"cycler", "* **"},
    {"joiner", "* **"},
    {"lipsum", "* **"},
};

Value get(BuiltinCall& call) {
  if (const Value* found = call.self.mapping().find(call.budget, call[0])) return *found;
  return call.has(1) ? call[1] : Value::none();
}

template <ViewPart part>
Value view(BuiltinCall& call) {
  auto view = std::make_shared<View>(nest(call.self.depth()));
  view->charge(&call.budget, 96);
  view->mapping = call.self.object();
  view->part = part;
  return Value(Kind::view, std::move(view));
}

Value copy(BuiltinCall& call) { return call.self; }

Value count(BuiltinCall& call) {
  const Values items = collect(call.budget, call.self);
  return Value::integer(std::count_if(items.begin(), items.end(),
                                      [&call](const Value& item) { return equal(call.budget, item, call[0]); }));
}

Value index(BuiltinCall& call) {
  const Values items = collect(call.budget, call.self);
  const auto length = static_cast<std::int64_t>(items.size());
  const auto bound = [&](std::size_t i, std::int64_t otherwise) {
    const std::int64_t at = call.integer(i, otherwise);
    return std::min(at < 0 ? std::max<std::int64_t>(at + length, 0) : at, length);
  };
  for (std::int64_t at = bound(1, 0), end = bound(2, length); at < end; ++at) {
    if (equal(call.budget, items[static_cast<std::size_t>(at)], call[0])) return Value::integer(at);
  }
  fail("the value is not in the " + std::string(type_name(call.self)));
}

Value index_in_range(BuiltinCall& call) {
  call.values.resize(3);  // a range's index() takes no bounds
  return index(call);
}

Value cycle(BuiltinCall& call) { return call.self.as<Loop>().cycle(call.rest.positional); }
Value changed(BuiltinCall& call) {
  auto& loop = call.self.as<Loop>();
  if (loop.last_changed.is_missing()) call.interpreter.keep(call.self.object());
  return Value::boolean(loop.changed(call.rest.positional));
}

constexpr Builtin kListMethods[] = {
    {"copy", "/", copy},
    {"count", "value /", count},
    {"index", "value start? stop? /", index},
    {"append", "", nullptr, true},
    {"clear", "", nullptr, true},
    {"extend", "", nullptr, true},
    {"insert", "", nullptr, true},
    {"pop", "", nullptr, true},
    {"remove", "", nullptr, true},
    {"reverse", "", nullptr, true},
    {"sort", "", nullptr, true},
};
constexpr Builtin kTupleMethods[] = {{"count", "value /", count}, {"index", "value start? stop? /", index}};
constexpr Builtin kDictMethods[] = {
    {"copy", "/", copy},
    {"get", "key default? /", get},
    {"items", "/", view<ViewPart::items>},
    {"keys", "/", view<ViewPart::keys>},
    {"values", "/", view<ViewPart::values>},
    {"clear", "", nullptr, true},
    {"pop", "", nullptr, true},
    {"popitem", "", nullptr, true},
    {"setdefault", "", nullptr, true},
    {"update", "", nullptr, true},
    {"fromkeys", "* **"},
};
constexpr Builtin kLoopMethods[] = {{"changed", "*", changed}, {"cycle", "*", cycle}};
// Attributes that Python has and templates do not use.
constexpr Builtin kNumberMethods[] = {
    {"as_integer_ratio", "* **"}, {"bit_count", "* **"},   {"bit_length", "* **"},
    {"conjugate", "* **"},        {"denominator", "* **"}, {"from_bytes", "* **"},
    {"fromhex", "* **"},          {"hex", "* **"},         {"imag", "* **"},
    {"is_integer", "* **"},       {"numerator", "* **"},   {"real", "* **"},
    {"to_bytes", "* **"},
};
constexpr Builtin kRangeMethods[] = {{"count", "value /", count},
                                     {"index", "value /", index_in_range},
                                     {"start", "* **"},
                                     {"step", "* **"},
                                     {"stop", "* **"}};
constexpr Builtin kViewMethods[] = {{"isdisjoint", "* **"}, {"mapping", "* **"}};
constexpr Builtin kCallableMethods[] = {{"arguments", "* **"},
                                        {"caller", "* **"},
                                        {"catch_kwargs", "* **"},
                                        {"catch_varargs", "* **"},
                                        {"fromkeys", "* **"}};

}  // namespace

std::span<const Builtin> globals() { return kGlobals; }

std::span<const Builtin> sequence_methods(Kind kind) {
  switch (kind) {
    case Kind::list: return kListMethods;
    case Kind::tuple: return kTupleMethods;
    case Kind::dict: return kDictMethods;
    case Kind::loop: return kLoopMethods;
    case Kind::boolean:
    case Kind::integer:
    case Kind::big_integer:
    case Kind::real: return kNumberMethods;
    case Kind::range: return kRangeMethods;
    case Kind::view: return kViewMethods;
    case Kind::callable: return kCallableMethods;
    default: return {};
  }
}

}  // namespace powerhouse::jinja
