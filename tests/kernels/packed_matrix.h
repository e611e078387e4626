// A matrix of random blocks, packed into panels.
#pragma once

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "kernels/random_blocks.h"
#include "kernels/reference/packed.h"

namespace powerhouse::testing {

struct Matrix {
  Matrix(BlockFormat format, std::int64_t n, std::int64_t k, std::mt19937& engine)
      : layout(*packed_layout(format)), outputs(n), inputs(k), blocks(random_blocks(format, n * k, engine)) {
    const auto row_bytes = static_cast<std::int64_t>(blocks.size()) / n;
    const std::int64_t bytes = panel_bytes(layout, k);
    panels.resize(static_cast<std::size_t>(panel_count(n) * bytes));
    for (std::int64_t panel = 0; panel < panel_count(n); ++panel) {
      const void* rows[kPanelRows] = {};
      for (std::int64_t row = 0; row < kPanelRows && panel * kPanelRows + row < n; ++row) {
        rows[row] = blocks.data() + (panel * kPanelRows + row) * row_bytes;
      }
      pack_panel(layout, rows, k, panels.data() + panel * bytes);
    }
  }
  double largest() const {
    std::vector<float> row(static_cast<std::size_t>(inputs));
    double top = 0;
    for (std::int64_t n = 0; n < outputs; ++n) {
      const std::uint8_t* panel = panels.data() + n / kPanelRows * panel_bytes(layout, inputs);
      unpack_row(layout, panel, n % kPanelRows, inputs, row.data());
      for (const float value : row) top = std::max(top, std::abs(static_cast<double>(value)));
    }
    return top;
  }
  const PackedLayout& layout;
  std::int64_t outputs, inputs;
  std::vector<std::uint8_t> blocks, panels;
};

}  // namespace powerhouse::testing
