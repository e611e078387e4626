#include "text/jinja_builtins.h"

#include <algorithm>

#include "text/jinja_interpreter.h"
#include "text/jinja_operators.h"

namespace powerhouse::jinja {
namespace {

const Builtin* find_in(std::span<const Builtin> table, std::string_view name) {
  const auto found = std::find_if(table.begin(), table.end(), [name](const Builtin& row) { return row.name == name; });
  return found == table.end() ? nullptr : &*found;
}

// A row's parameter list, read once a call.
struct Parameters {
  struct One {
    std::string_view name;
    bool optional;
  };
  explicit Parameters(std::string_view text) {
    while (!text.empty()) {
      const std::size_t blank = std::min(text.find(' '), text.size());
      std::string_view word = text.substr(0, blank);
      text.remove_prefix(std::min(blank + 1, text.size()));
      if (word == "/") {
        keywords = false;
      } else if (word == "*") {
        rest = true;
      } else if (word == "**") {
        keyword_rest = true;
      } else {
        const bool optional = word.back() == '?';
        if (optional) word.remove_suffix(1);
        named[count++] = {word, optional};
      }
    }
  }
  One named[8] = {};
  std::size_t count = 0;
  bool keywords = true, rest = false, keyword_rest = false;
};

[[noreturn]] void fail_keyword(const std::string& name, std::string_view what, const std::string& key) {
  std::string message = name;
  message.append("() got ").append(what).append(" '").append(key).append("'");
  fail(std::move(message));
}

}  // namespace

std::int64_t BuiltinCall::integer(std::size_t i, std::int64_t otherwise) const {
  return has(i) ? expect_integer(values[i], "the argument") : otherwise;
}
bool BuiltinCall::flag(std::size_t i, bool otherwise) const { return has(i) ? truthy(values[i]) : otherwise; }
const Text& BuiltinCall::text(std::size_t i) const {
  if (!values[i].is_string()) fail_type("the argument must be a string", values[i]);
  return values[i].text();
}

const Builtin* find_filter(std::string_view name) {
  for (const auto table : {text_filters(), sequence_filters(), select_filters(), number_filters()}) {
    if (const Builtin* found = find_in(table, name)) return found;
  }
  return nullptr;
}
const Builtin* find_test(std::string_view name) { return find_in(tests(), name); }
const Builtin* find_global(std::string_view name) { return find_in(globals(), name); }

const Builtin* find_method(Kind kind, std::string_view name) {
  if (kind != Kind::string) return find_in(sequence_methods(kind), name);
  const Builtin* found = find_in(text_methods(), name);
  return found != nullptr ? found : find_in(more_text_methods(), name);
}

Value call_builtin(Interpreter& interpreter, const Builtin& builtin, const Value& self, Arguments arguments) {
  Budget& budget = interpreter.budget();
  budget.step();
  const std::string name(builtin.name);
  if (builtin.run == nullptr) fail(ErrorKind::unsupported, "'" + name + "' is not supported");
  const Parameters parameters(builtin.parameters);
  BuiltinCall call{.interpreter = interpreter, .budget = budget, .self = self, .values = {}, .rest = {}};
  call.values.resize(parameters.count);
  if (arguments.positional.size() > parameters.count && !parameters.rest) {
    fail("too many arguments for " + name + "()");
  }
  for (std::size_t i = 0; i < arguments.positional.size(); ++i) {
    if (i < parameters.count) {
      call.values[i] = std::move(arguments.positional[i]);
    } else {
      call.rest.positional.push_back(std::move(arguments.positional[i]));
    }
  }
  for (auto& [key, value] : arguments.keyword) {
    std::size_t at = parameters.count;
    for (std::size_t i = 0; parameters.keywords && i < parameters.count; ++i) {
      if (parameters.named[i].name == key) at = i;
    }
    if (at == parameters.count) {
      if (!parameters.keyword_rest) fail_keyword(name, "an unexpected keyword argument", key);
      call.rest.keyword.emplace_back(std::move(key), std::move(value));
    } else if (call.has(at)) {
      fail_keyword(name, "multiple values for argument", key);
    } else {
      call.values[at] = std::move(value);
    }
  }
  for (std::size_t i = 0; i < parameters.count; ++i) {
    if (!parameters.named[i].optional && !call.has(i)) {
      fail(name + "() misses the argument '" + std::string(parameters.named[i].name) + "'");
    }
  }
  return builtin.run(call);
}

}  // namespace powerhouse::jinja
