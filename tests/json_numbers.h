// Numbers of JSON, as fixtures have them.
#pragma once

#include <cstdint>
#include <vector>

#include "support/json.h"

namespace powerhouse::testing {

inline std::vector<std::int64_t> integers(const Json& list) {
  std::vector<std::int64_t> out;
  for (const Json& item : list.as_array()) out.push_back(item.as_integer());
  return out;
}

}  // namespace powerhouse::testing
