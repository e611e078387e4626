// Bounds of the options of contrast.h: Error{usage} naming the first one out of them.
#pragma once

#include "powerhouse/contrast.h"

namespace powerhouse {

void check(const ContextAwareOptions& options);
void check(const ContrastiveDecodingOptions& options);
void check(const DolaOptions& options);

}  // namespace powerhouse
