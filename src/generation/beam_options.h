// What a beam search can be asked for.
#pragma once

#include "powerhouse/beam_search.h"

namespace powerhouse {

/// Error{usage} naming the first option outside its bounds, or at odds with another.
void check_options(const BeamSearchOptions& options, std::int64_t vocabulary);

}  // namespace powerhouse
