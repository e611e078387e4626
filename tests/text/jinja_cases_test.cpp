// Renders the small templates of tests/oracles/jinja_cases.py and expects, byte for byte, what jinja2 made of them, or
// an Error where jinja2 refused.
#include <gtest/gtest.h>

#include <optional>
#include <set>

#include "powerhouse/chat.h"
#include "powerhouse/error.h"
#include "support/json.h"

namespace powerhouse {
namespace {

const Json& fixture() {
  static const Json loaded = Json::parse_file(POWERHOUSE_FIXTURES "/text/jinja_cases.json");
  return loaded;
}

std::string group_of(const std::string& name) { return name.substr(0, name.rfind('_')); }

class JinjaCases : public ::testing::TestWithParam<const char*> {};

TEST_P(JinjaCases, RenderAsJinja2Does) {
  const std::string messages = fixture().at("messages").dump();
  const RenderOptions options{.variables = fixture().at("variables").dump()};
  int seen = 0;
  for (const Json& entry : fixture().at("cases").as_array()) {
    const std::string& name = entry.at("name").as_string();
    if (group_of(name) != GetParam()) continue;
    ++seen;
    const std::string& source = entry.at("template").as_string();
    std::optional<std::string> rendered;
    std::string error;
    try {
      rendered = ChatTemplate(source).render(messages, options);
    } catch (const Error& failure) {
      error = failure.what();
      EXPECT_NE(error.find("line "), std::string::npos) << name << ": no line in \"" << error << "\"";
      EXPECT_TRUE(failure.kind() == ErrorKind::format || failure.kind() == ErrorKind::unsupported) << name << error;
    }
    const Json* refusal = entry.get("raises");
    if (refusal != nullptr) {
      EXPECT_FALSE(rendered) << name << " should fail with " << refusal->as_string() << "\n" << source;
    } else if (!rendered) {
      ADD_FAILURE() << name << ": " << error << "\n" << source;
    } else {
      EXPECT_EQ(*rendered, entry.at("expected").as_string()) << name << "\n" << source;
    }
  }
  EXPECT_GE(seen, 10);
}

constexpr const char* kGroups[] = {"output", "whitespace", "literals", "arithmetic", "compare",
                                   "access", "str",        "listdict", "for",        "scope",
                                   "macro",  "filters",    "tojson",   "tests",      "statements"};
INSTANTIATE_TEST_SUITE_P(All, JinjaCases, ::testing::ValuesIn(kGroups),
                         [](const auto& info) { return std::string(info.param); });

TEST(JinjaCaseFile, HoldsNoGroupThatIsNotTested) {
  const std::set<std::string> tested(std::begin(kGroups), std::end(kGroups));
  std::set<std::string> found;
  for (const Json& entry : fixture().at("cases").as_array()) found.insert(group_of(entry.at("name").as_string()));
  EXPECT_EQ(found, tested);
  EXPECT_GE(fixture().at("cases").as_array().size(), 500u);
}

}  // namespace
}  // namespace powerhouse
