// What memory that is walked again and again is aligned to and asked for in.
#pragma once

#include <cstddef>

namespace powerhouse {

inline constexpr std::size_t kLargePage = std::size_t{2} << 20;

}  // namespace powerhouse
