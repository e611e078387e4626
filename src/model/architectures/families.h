// One row a family; each lives in its own file.
#pragma once

#include "model/architecture.h"

namespace powerhouse {

extern const Architecture kLlama;

}  // namespace powerhouse
