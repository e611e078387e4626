// How much memory the program has asked for: every `operator new` of this test binary is counted.
#pragma once

#include <cstddef>

namespace powerhouse::testing {

/// Bytes asked for since the start, freed ones included.
std::size_t allocated_bytes() noexcept;

/// What reading `file_bytes` from a file may ask for in all, whatever the file claims about itself: names, tables and
/// JSON trees take a multiple of the bytes that they are made from.
constexpr std::size_t warranted(std::size_t file_bytes) { return (std::size_t{64} << 10) + 128 * file_bytes; }

}  // namespace powerhouse::testing
