#include "calibration/hessian.h"

#include <algorithm>

namespace powerhouse {
namespace {

// Half of a symmetric matrix is enough: of 4 tiles a side 10 products instead of 16.
std::int64_t tile_of(std::int64_t columns) {
  const std::int64_t tiles = std::clamp<std::int64_t>(columns / 256, 1, 8);
  return (columns + tiles - 1) / tiles;
}

}  // namespace

void Hessian::add(const at::Tensor& x) {
  const std::int64_t columns = x.size(1);
  if (!sum_.defined()) sum_ = x.new_zeros({columns, columns});
  const std::int64_t tile = tile_of(columns);
  for (std::int64_t row = 0; row < columns; row += tile) {
    const std::int64_t rows = std::min(tile, columns - row);
    const at::Tensor left = x.narrow(1, row, rows).t();
    for (std::int64_t column = row; column < columns; column += tile) {
      const std::int64_t width = std::min(tile, columns - column);
      sum_.narrow(0, row, rows).narrow(1, column, width).addmm_(left, x.narrow(1, column, width));
    }
  }
  tokens_ += x.size(0);
}

at::Tensor Hessian::matrix() const {
  if (!sum_.defined()) return {};
  const at::Tensor upper = sum_.triu();
  return upper.add(sum_.triu(1).t()).mul_(2.0 / static_cast<double>(tokens_));
}

}  // namespace powerhouse
