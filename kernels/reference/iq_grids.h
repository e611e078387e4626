// The grids of ggml's i-quants: points of a lattice that a code names, eight or four elements at once.
//
// A word is a row: indices into levels, the first in the lowest bits; two bits each of eight (IQ1: -1, 0, 1; IQ2: 8,
// 25, 43), four bits each of four (IQ3_XXS: 4, 12, 20, 28, 36, 44, 52, 62; IQ3_S: the odd numbers from 1 to 15).
#pragma once

#include <cstdint>

namespace powerhouse {

extern const std::uint16_t kIq2XxsGrid[256];
extern const std::uint16_t kIq2XsGrid[512];
extern const std::uint16_t kIq2SGrid[1024];
extern const std::uint16_t kIq3XxsGrid[256];
extern const std::uint16_t kIq3SGrid[512];
extern const std::uint16_t kIq1SGrid[2048];

}  // namespace powerhouse
