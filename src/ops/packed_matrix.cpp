#include "ops/packed_matrix.h"

#include <sys/mman.h>

#include <cstdlib>

#include "kernels/reference/packed.h"
#include "powerhouse/error.h"
#include "support/thread_team.h"

namespace powerhouse {

bool can_pack(const StoredWeight& stored) {
  return !stored.transposed && stored.offset == 0.0f && stored.shape.size() >= 2 &&
         packed_layout(stored.views.front().format) != nullptr;
}

std::optional<PackedMatrix> PackedMatrix::pack(const Weight& weight, std::int64_t count,
                                               const std::function<std::int64_t(std::int64_t)>& rows) {
  const StoredWeight* stored = weight.stored();
  if (stored == nullptr || !can_pack(*stored)) return {};
  const BlockFormat format = stored->views.front().format;
  PackedMatrix matrix;
  matrix.layout_ = packed_layout(format);
  const std::int64_t inputs = stored->shape.back();
  const std::int64_t stride = panel_bytes(*matrix.layout_, inputs);
  matrix.panel_stride_ = stride;
  // Whole large pages where the last one does not count: a product reads the panels from end to end.
  constexpr std::size_t kPage = std::size_t{2} << 20;
  matrix.bytes_ = static_cast<std::size_t>(panel_count(count) * stride);
  const std::size_t alignment = matrix.bytes_ >= 8 * kPage ? kPage : 64;
  const std::size_t rounded = (matrix.bytes_ + alignment - 1) / alignment * alignment;
  matrix.panels_.reset(std::aligned_alloc(alignment, rounded), [](void* memory) { std::free(memory); });
  if (!matrix.panels_) throw Error(ErrorKind::memory, "no memory for a packed weight", {.field = weight.name()});
  if (alignment == kPage) madvise(matrix.panels_.get(), rounded, MADV_HUGEPAGE);

  const BlockInfo info = block_info(format);
  const std::int64_t row_bytes = inputs / info.block_elements * info.block_bytes;
  parallel_for(panel_count(count), 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t panel = begin; panel < end; ++panel) {
      const void* sources[kPanelRows] = {};
      for (std::int64_t i = 0; i < kPanelRows && panel * kPanelRows + i < count; ++i) {
        const std::int64_t row = rows(panel * kPanelRows + i);
        const RowPlace place = stored->place ? stored->place(row) : RowPlace{0, row};
        sources[i] = stored->views[static_cast<std::size_t>(place.tensor)].data + place.row * row_bytes;
      }
      pack_panel(*matrix.layout_, sources, inputs, static_cast<char*>(matrix.panels_.get()) + panel * stride);
    }
  });
  for (const TensorView& view : stored->views) view.file->release(view.data, view.bytes);
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
