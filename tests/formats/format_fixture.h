// Files of tests/fixtures/formats.
#pragma once

#include <string>

namespace powerhouse::testing {

inline std::string format_fixture(const std::string& name) {
  return std::string(POWERHOUSE_FIXTURES) + "/formats/" + name;
}

}  // namespace powerhouse::testing
