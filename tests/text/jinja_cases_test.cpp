// Renders the small templates of tests/oracles/jinja_cases.py and expects, byte for byte, what jinja2 made of them, or
// an Error where jinja2 refused.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <optional>
#include <set>

#include "powerhouse/chat.h"
#include "powerhouse/error.h"
#include "support/json.h"

namespace powerhouse {
namespace {

const Json& jinja_cases() {
  static const Json loaded = Json::parse_file(POWERHOUSE_FIXTURES "/text/jinja_cases.json");
  return loaded;
}

std::string group_of(const std::string& name) { return name.substr(0, name.rfind('_')); }

class JinjaCases : public ::testing::TestWithParam<const char*> {};

TEST_P(JinjaCases, RenderAsJinja2Does) {
  const std::string messages = jinja_cases().at("messages").dump();
  const RenderOptions options{.variables = jinja_cases().at("variables").dump()};
  int seen = 0;
  for (const Json& entry : jinja_cases().at("cases").as_array()) {
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

constexpr const char* kGroups[] = {"output", "whitespace", "literals",   "arithmetic", "compare", "access",
                                   "str",    "listdict",   "for",        "scope",      "macro",   "filters",
                                   "tojson", "tests",      "statements", "bigint"};
INSTANTIATE_TEST_SUITE_P(All, JinjaCases, ::testing::ValuesIn(kGroups),
                         [](const auto& info) { return std::string(info.param); });

// Cases made outside the repository (tests/oracles/jinja_random.py and chat_templates.py). What jinja2 has and this
// engine names as not built is counted, and told.
TEST(JinjaOtherCases, RenderAsJinja2Does) {
  const char* path = std::getenv("POWERHOUSE_TEST_JINJA_CASES");
  if (path == nullptr) GTEST_SKIP() << "SKIPPED: set POWERHOUSE_TEST_JINJA_CASES to a file of an oracle script";
  const Json cases = Json::parse_file(path);
  const auto text = [&cases](const Json& entry, const char* key, const char* otherwise) {
    const Json* own = entry.get(key);
    const Json* common = own != nullptr ? own : cases.get(key);
    return common != nullptr ? common->dump() : std::string(otherwise);
  };
  int refused = 0, rendered = 0, not_built = 0;
  for (const Json& entry : cases.at("cases").as_array()) {
    const Json& source = entry.at("template");
    const std::string& jinja =
        (source.is_string() ? source
                            : cases.at("templates").as_array().at(static_cast<std::size_t>(source.as_integer())))
            .as_string();
    const std::string& name = entry.at("name").as_string();
    std::optional<std::string> got;
    std::string error;
    try {
      const RenderOptions options{.add_generation_prompt = entry.bool_or("add_generation_prompt", false),
                                  .tools = text(entry, "tools", ""),
                                  .documents = text(entry, "documents", ""),
                                  .variables = text(entry, "variables", ""),
                                  .omit_null = cases.bool_or("omit_null", false)};
      got = ChatTemplate(jinja).render(text(entry, "messages", "[]"), options);
    } catch (const Error& failure) {
      error = failure.what();
      if (failure.kind() == ErrorKind::unsupported && entry.get("raises") == nullptr) {
        ++not_built;
        continue;
      }
    }
    if (const Json* refusal = entry.get("raises")) {
      EXPECT_FALSE(got) << name << " should fail with " << refusal->as_string() << "\n" << jinja;
      ++refused;
    } else if (!got) {
      ADD_FAILURE() << name << ": " << error << "\n" << jinja;
    } else {
      EXPECT_EQ(*got, entry.at("expected").as_string()) << name << "\n" << jinja;
      ++rendered;
    }
  }
  std::cout << rendered << " rendered, " << refused << " refused as there, " << not_built << " not built\n";
  EXPECT_LE(not_built, (rendered + refused) / 50);
}

TEST(JinjaCaseFile, HoldsNoGroupThatIsNotTested) {
  const std::set<std::string> tested(std::begin(kGroups), std::end(kGroups));
  std::set<std::string> found;
  for (const Json& entry : jinja_cases().at("cases").as_array()) found.insert(group_of(entry.at("name").as_string()));
  EXPECT_EQ(found, tested);
  EXPECT_GE(jinja_cases().at("cases").as_array().size(), 500u);
}

}  // namespace
}  // namespace powerhouse
