// What is said of options that do not go together, or have no meaning where they were set.
#pragma once

#include <string_view>

#include "powerhouse/error.h"

namespace powerhouse {

/// Error{usage} naming the field where it is wrong; `what` says why.
inline void refuse_usage(bool wrong, const char* field, std::string_view what) {
  if (wrong) throw Error(ErrorKind::usage, what, {.field = field});
}

}  // namespace powerhouse
