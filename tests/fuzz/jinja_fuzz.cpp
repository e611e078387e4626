// Any bytes as a chat template, over a fixed conversation: an Error, a Failure, or a text in valid UTF-8; in bounded
// time and memory, and without a leak (a namespace can hold itself).
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "powerhouse/error.h"
#include "support/utf8.h"
#include "text/jinja_interpreter.h"
#include "text/jinja_parser.h"

namespace {

using namespace powerhouse;
using namespace powerhouse::jinja;

Value text(Budget& budget, std::string_view value) { return make_text(&budget, std::string(value)); }

Value message(Budget& budget, std::string_view role, const Value& content) {
  auto mapping = std::make_shared<Mapping>();
  mapping->set(budget, text(budget, "role"), text(budget, role));
  mapping->set(budget, text(budget, "content"), content);
  return make_dict(&budget, mapping);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // A tenth of what a rendering may use: what is slow under the sanitizers is not what is looked for.
  Budget budget(size, Budget::kSteps / 10);
  try {
    const auto parsed = parse_template(normalize_source({reinterpret_cast<const char*>(data), size}));
    Mapping variables;
    const Value parts = make_list(&budget, {text(budget, "a\nb"), Value::integer(-3), Value::real(2.5), Value::none()});
    variables.set(budget, text(budget, "messages"),
                  make_list(&budget, {message(budget, "system", text(budget, "Be brief.")),
                                      message(budget, "user", text(budget, "Grüße <b> 世界 👋🏽\t")),
                                      message(budget, "assistant", parts)}));
    variables.set(budget, text(budget, "tools"), Value::none());
    variables.set(budget, text(budget, "xs"), parts);
    variables.set(budget, text(budget, "d"), message(budget, "x", parts));
    variables.set(budget, text(budget, "s"), text(budget, "Hello, World"));
    variables.set(budget, text(budget, "n"), Value::integer(7));
    variables.set(budget, text(budget, "add_generation_prompt"), Value::boolean(true));
    if (find_invalid_utf8(Interpreter(budget, variables).render(*parsed))) std::abort();
  } catch (const Error&) {
  } catch (const Failure&) {
  }
  return 0;
}
