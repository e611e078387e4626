// The grids of i-quants, for encoding: which points a grid has, and for each other point the grid's points nearest to
// it, in order of their distance, then of their code. Built at first use: some milliseconds a grid, once a process.
//
// A point is a word of 16 bits: eight levels of two bits, or four of three bits, the first in the lowest. Level l
// stands for the number 2 l + 1 (IQ2, IQ3) or l - 1 (IQ1).
#pragma once

#include <cstdint>

namespace powerhouse::encoding {

enum class Grid : unsigned char { iq2_xxs, iq2_xs, iq2_s, iq1, iq3_xxs, iq3_s };

struct Lattice {
  int points;
  int dimensions;                        ///< 8 or 4
  int levels;                            ///< 3 or 8
  const std::uint16_t* words;            ///< [points]
  const std::int32_t* codes;             ///< by word: the code, or -1 - the place of its neighbours in `neighbours`
  const std::uint16_t* neighbours;       ///< a count, then that many codes
  const std::uint16_t* neighbour_words;  ///< of the same codes, at the same places; 16 more can be read

  int bits() const { return 16 / dimensions - (dimensions == 4 ? 1 : 0); }
  int level(std::uint16_t word, int dimension) const { return word >> dimension * bits() & ((1 << bits()) - 1); }
};
const Lattice& lattice(Grid grid) noexcept;

/// What a point is to be near to: the sum over dimensions of weights[i] * (scale * values[level] - x[i])^2 is its cost.
struct PointQuery {
  const float* x;        ///< [dimensions]
  const float* weights;  ///< [dimensions]
  const float* values;   ///< [8], by level
  float scale;
};

/// The code of `word`, or of that of its neighbours which costs least, the first of several; -1 where no cost is
/// finite.
using NearestPoint = int (*)(const Lattice& lattice, std::uint16_t word, const PointQuery& query);
int nearest_point(const Lattice& lattice, std::uint16_t word, const PointQuery& query);

}  // namespace powerhouse::encoding
