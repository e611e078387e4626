// Any bytes as a grammar, a pattern or a schema (the first byte says which): an Error, or an automaton whose texts come
// to an end, in bounded time. A walk takes the first byte that is allowed at each place; texts must be valid UTF-8.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "constraints/automaton.h"
#include "constraints/gbnf.h"
#include "constraints/json_schema.h"
#include "constraints/simple_grammars.h"
#include "constraints/states.h"
#include "powerhouse/error.h"
#include "support/json.h"
#include "support/utf8.h"

namespace {

using namespace powerhouse;

constraints::Grammar grammar_of(std::uint8_t kind, std::string_view text) {
  switch (kind % 3) {
    case 0: return constraints::parse_gbnf(text, nullptr);
    case 1: return constraints::regex_grammar(text);
    default: return constraints::json_schema_grammar(text, {});
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  try {
    const constraints::Automaton automaton(grammar_of(data[0], {reinterpret_cast<const char*>(data) + 1, size - 1}));
    constraints::StateSpace states(automaton);
    std::string text;
    constraints::State state = states.start();
    for (int step = 0; step < 64 && states.goes_on(state); ++step) {
      constraints::State next = constraints::StateSpace::kDead;
      int byte = static_cast<int>(size * 7 + static_cast<std::size_t>(step) * 31) % 256;
      for (int tries = 0; tries < 256 && next == constraints::StateSpace::kDead; ++tries) {
        byte = (byte + 1) % 256;
        next = states.step(state, static_cast<std::uint8_t>(byte));
      }
      if (next == constraints::StateSpace::kDead) {
        if (!automaton.has_tokens()) std::abort();  // a dead end
        break;
      }
      text += static_cast<char>(byte);
      state = next;
    }
    if (states.accepts(state) && find_invalid_utf8(text)) std::abort();
    if (data[0] % 3 == 2 && states.accepts(state)) (void)Json::parse(text, "a text of the schema");
  } catch (const Error& error) {
    if (error.message().empty()) std::abort();
  }
  return 0;
}
