// Texts that jsonschema, Python's re and llama.cpp accept and refuse (tests/oracles/constraints.py).
#include <gtest/gtest.h>

#include "constraint_cases.h"

namespace powerhouse {
namespace {

using testing::grammar_of;
using testing::takes;

TEST(ConstraintAcceptance, IsThatOfTheOracles) {
  const Json cases = Json::parse_file(std::string(POWERHOUSE_FIXTURES) + "/constraints/acceptance.json");
  std::size_t accepted = 0, rejected = 0;
  for (const Json& one : cases.as_array()) {
    const std::string name = one.at("text").dump();
    SCOPED_TRACE(one.at("kind").as_string() + " " + name);
    const constraints::Automaton automaton(grammar_of(one));
    for (const Json& text : one.at("accepted").as_array()) {
      EXPECT_TRUE(takes(automaton, text.as_string())) << text.as_string();
      ++accepted;
    }
    for (const Json& text : one.at("rejected").as_array()) {
      EXPECT_FALSE(takes(automaton, text.as_string())) << text.as_string();
      ++rejected;
    }
  }
  EXPECT_GT(accepted, 200u);
  EXPECT_GT(rejected, 500u);
}

}  // namespace
}  // namespace powerhouse
