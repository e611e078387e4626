// Room for kernels, one a thread, kept from call to call: the pages of a fresh block would cost more than short
// kernels.
#pragma once

#include <cstdint>

namespace powerhouse {

/// At least `count` floats that belong to the calling thread until its next call, uninitialised and aligned to a cache
/// line. Grows to the largest request and lives as long as the thread. Error{memory} where there is none.
float* thread_scratch(std::int64_t count);

}  // namespace powerhouse
