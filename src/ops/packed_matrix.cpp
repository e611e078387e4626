#include "ops/packed_matrix.h"

#include <algorithm>
#include <vector>

#include "kernels/reference/packed.h"

namespace powerhouse {

bool can_pack(const StoredWeight& stored) {
  return !stored.transposed && stored.offset == 0.0f && stored.shape.size() >= 2 &&
         packed_layout(stored.format()) != nullptr;
}

std::optional<PackedMatrix> PackedMatrix::pack(const Weight& weight, std::int64_t count,
                                               const std::function<std::int64_t(std::int64_t)>& rows,
                                               PanelPacker& packer) {
  const StoredWeight* stored = weight.stored();
  if (stored == nullptr || !can_pack(*stored)) return {};
  PackedMatrix matrix;
  matrix.layout_ = packed_layout(stored->format());
  const std::int64_t inputs = stored->shape.back();
  const std::int64_t stride = panel_bytes(*matrix.layout_, inputs);
  matrix.panel_stride_ = stride;
  matrix.bytes_ = static_cast<std::size_t>(panel_count(count) * stride);
  matrix.panels_ = packer.take(matrix.bytes_, weight.name());

  packer.add(
      panel_count(count),
      [stored, rows, count, inputs, stride, layout = matrix.layout_, panels = matrix.panels_](std::int64_t panel) {
        const void* sources[kPanelRows] = {};
        const std::int64_t there = std::min(kPanelRows, count - panel * kPanelRows);
        std::vector<std::byte> made;
        if (stored->rows_are_made()) {
          std::int64_t wanted[kPanelRows] = {};
          for (std::int64_t i = 0; i < there; ++i) wanted[i] = rows(panel * kPanelRows + i);
          made.resize(static_cast<std::size_t>(there * stored->row_bytes()));
          stored->read_rows({wanted, static_cast<std::size_t>(there)}, made.data());
        }
        for (std::int64_t i = 0; i < there; ++i) {
          sources[i] = made.empty() ? stored->row(rows(panel * kPanelRows + i)) : made.data() + i * stored->row_bytes();
        }
        pack_panel(*layout, sources, inputs, static_cast<char*>(panels.get()) + panel * stride);
      },
      [&weight] { weight.release_file(); });
  return matrix;
}

PackedMatrix PackedMatrix::part(std::int64_t first, std::int64_t count) const {
  PackedMatrix out;
  out.layout_ = layout_;
  out.panel_stride_ = panel_stride_;
  out.panels_ = {panels_, static_cast<char*>(panels_.get()) + first / kPanelRows * panel_stride_};
  out.bytes_ = static_cast<std::size_t>(panel_count(count) * panel_stride_);
  return out;
}

}  // namespace powerhouse
