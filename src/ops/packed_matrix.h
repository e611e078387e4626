// PackedMatrix: rows of a quantized weight in the layout that products read (kernels/common/packed.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "kernels/common/packed.h"
#include "ops/panel_packer.h"
#include "ops/weight.h"

namespace powerhouse {

/// Whether it is a matrix of blocks, or one an expert, that PackedMatrix takes.
bool can_pack(const StoredWeight& stored);

class PackedMatrix {
 public:
  /// `count` rows of a weight, row i of the result being rows(i) of the weight's (of the first expert's, then of the
  /// second's ...), as soon as `packer` has run, which holds `weight` and a copy of `rows` till then. The file's pages
  /// are released. Nothing where the weight can't be packed.
  static std::optional<PackedMatrix> pack(const Weight& weight, std::int64_t count,
                                          const std::function<std::int64_t(std::int64_t)>& rows, PanelPacker& packer);

  /// `count` rows from `first` on, a multiple of kPanelRows; they share the memory.
  PackedMatrix part(std::int64_t first, std::int64_t count) const;

  const PackedLayout& layout() const { return *layout_; }
  const void* panels() const { return panels_.get(); }
  std::size_t bytes() const { return bytes_; }

 private:
  const PackedLayout* layout_ = nullptr;
  std::shared_ptr<void> panels_;
  std::int64_t panel_stride_ = 0;  // bytes
  std::size_t bytes_ = 0;
};

}  // namespace powerhouse
