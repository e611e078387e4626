// What objectives and methods say of options that do not go together.
#pragma once

#include <string>

#include "powerhouse/error.h"

namespace powerhouse {

/// Error{usage} naming the field where it is wrong.
inline void refuse_usage(bool wrong, const char* field, const std::string& what) {
  if (wrong) throw Error(ErrorKind::usage, what, {.field = field});
}

}  // namespace powerhouse
