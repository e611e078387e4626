#include "kernels/reference/encode_lattice.h"

#include <cstdlib>
#include <cstring>

#include "kernels/common/iq_grids.h"

namespace powerhouse::encoding {
namespace {

using u16 = std::uint16_t;

/// Distances have no more values than this: 8 * 2^2, or 4 * 7^2.
constexpr int kMostDistance = 196;

struct GridInfo {
  const u16* rows;
  int points, dimensions, levels;
  int shells;  ///< how many of the smallest distances count as near
};

constexpr GridInfo info_of(Grid grid) {
  switch (grid) {
    case Grid::iq2_xxs: return {kIq2XxsGrid, 256, 8, 3, 2};
    case Grid::iq2_xs: return {kIq2XsGrid, 512, 8, 3, 2};
    case Grid::iq2_s: return {kIq2SGrid, 1024, 8, 3, 1};
    case Grid::iq1: return {kIq1SGrid, 2048, 8, 3, 3};
    case Grid::iq3_xxs: return {kIq3XxsGrid, 256, 4, 8, 2};
    default: return {kIq3SGrid, 512, 4, 8, 3};
  }
}

struct Builder {
  GridInfo info;
  Lattice& out;
  std::uint8_t* levels;  // [dimensions][points], so that distances to all points are sums over arrays
  u16* neighbours = nullptr;
  std::size_t used = 0, room = 0;

  void append(u16 value) {
    if (used == room) {
      room = room == 0 ? 1 << 16 : 2 * room;
      auto* const grown = static_cast<u16*>(std::realloc(neighbours, room * sizeof(u16)));
      if (grown == nullptr) std::abort();  // some megabytes at most
      neighbours = grown;
    }
    neighbours[used++] = value;
  }

  void add_neighbours(u16 word) {
    std::uint8_t distances[2048] = {};
    for (int d = 0; d < info.dimensions; ++d) {
      const int own = out.level(word, d);
      const std::uint8_t* const row = levels + d * info.points;
      for (int i = 0; i < info.points; ++i) {
        const int off = row[i] - own;
        distances[i] = static_cast<std::uint8_t>(distances[i] + off * off);
      }
    }
    bool seen[kMostDistance + 1] = {};
    for (int i = 0; i < info.points; ++i) seen[distances[i]] = true;
    const std::size_t head = used;
    append(0);
    int shells = 0;
    for (int distance = 0; distance <= kMostDistance && shells < info.shells; ++distance) {
      if (!seen[distance]) continue;
      ++shells;
      for (int i = 0; i < info.points; ++i) {
        if (distances[i] == distance) append(static_cast<u16>(i));
      }
    }
    neighbours[head] = static_cast<u16>(used - head - 1);
  }
};

bool within(const Lattice& lattice, int word) {
  for (int d = 0; d < lattice.dimensions; ++d) {
    if (lattice.level(static_cast<u16>(word), d) >= lattice.levels) return false;
  }
  return true;
}

Lattice build(Grid grid) {
  const GridInfo info = info_of(grid);
  Lattice out{info.points, info.dimensions, info.levels, nullptr, nullptr, nullptr, nullptr};
  const std::size_t words = info.dimensions == 8 ? 1 << 16 : 1 << 12;
  auto* const own = static_cast<u16*>(std::malloc(static_cast<std::size_t>(info.points) * sizeof(u16)));
  auto* const codes = static_cast<std::int32_t*>(std::malloc(words * sizeof(std::int32_t)));
  Builder builder{info, out, static_cast<std::uint8_t*>(std::malloc(static_cast<std::size_t>(info.points) * 8))};
  if (own == nullptr || codes == nullptr || builder.levels == nullptr) std::abort();
  std::memset(codes, 0x7F, words * sizeof(std::int32_t));
  for (int i = 0; i < info.points; ++i) {
    u16 word = info.rows[i];
    if (info.dimensions == 4) {  // files' readers have four bits a level
      word = static_cast<u16>((word & 7) | (word >> 4 & 7) << 3 | (word >> 8 & 7) << 6 | (word >> 12 & 7) << 9);
    }
    own[i] = word;
    codes[word] = i;
    for (int d = 0; d < info.dimensions; ++d) {
      builder.levels[d * info.points + i] = static_cast<std::uint8_t>(out.level(word, d));
    }
  }
  for (std::size_t word = 0; word < words; ++word) {
    if (codes[word] < info.points || !within(out, static_cast<int>(word))) continue;
    codes[word] = -1 - static_cast<std::int32_t>(builder.used);
    builder.add_neighbours(static_cast<u16>(word));
  }
  std::free(builder.levels);
  auto* const neighbour_words = static_cast<u16*>(std::calloc(builder.used + 16, sizeof(u16)));
  if (neighbour_words == nullptr) std::abort();
  for (std::size_t i = 0; i < builder.used; ++i) {  // counts are no codes, but small enough
    neighbour_words[i] = own[builder.neighbours[i] % info.points];
  }
  out.neighbour_words = neighbour_words;
  out.words = own;
  out.codes = codes;
  out.neighbours = builder.neighbours;
  return out;
}

template <Grid kGrid>
const Lattice& built() {
  static const Lattice lattice = build(kGrid);
  return lattice;
}

}  // namespace

const Lattice& lattice(Grid grid) noexcept {
  switch (grid) {
    case Grid::iq2_xxs: return built<Grid::iq2_xxs>();
    case Grid::iq2_xs: return built<Grid::iq2_xs>();
    case Grid::iq2_s: return built<Grid::iq2_s>();
    case Grid::iq1: return built<Grid::iq1>();
    case Grid::iq3_xxs: return built<Grid::iq3_xxs>();
    default: return built<Grid::iq3_s>();
  }
}

int nearest_point(const Lattice& lattice, u16 word, const PointQuery& query) {
  const std::int32_t code = lattice.codes[word];
  if (code >= 0) return code;
  const u16* const near = lattice.neighbours + (-1 - code);
  float costs[8][8];
  for (int d = 0; d < lattice.dimensions; ++d) {
    for (int level = 0; level < lattice.levels; ++level) {
      const float off = query.scale * query.values[level] - query.x[d];
      costs[d][level] = query.weights[d] * off * off;
    }
  }
  float least = 0x1.fffffep127f;
  int best = -1;
  for (int i = 1; i <= near[0]; ++i) {
    const u16 point = lattice.words[near[i]];
    float cost = 0.0f;
    for (int d = 0; d < lattice.dimensions; ++d) cost += costs[d][lattice.level(point, d)];
    if (cost < least) {
      least = cost;
      best = near[i];
    }
  }
  return best;
}

}  // namespace powerhouse::encoding
