// PackedMatrix: rows of a quantized weight in the layout that products read (kernels/common/packed.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "kernels/common/packed.h"
#include "ops/weight.h"

namespace powerhouse {

/// Whether it is a matrix of blocks that PackedMatrix takes.
bool can_pack(const StoredWeight& stored);

class PackedMatrix {
 public:
  /// Packs `count` rows of a weight, row i of the result being rows(i) of the weight's; on all threads. The file's
  /// pages are released. Nothing where the weight can't be packed.
  static std::optional<PackedMatrix> pack(const Weight& weight, std::int64_t count,
                                          const std::function<std::int64_t(std::int64_t)>& rows);

  const PackedLayout& layout() const { return *layout_; }
  const void* panels() const { return panels_.get(); }
  std::size_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(void* memory) const;
  };

  const PackedLayout* layout_ = nullptr;
  std::unique_ptr<void, Free> panels_;
  std::size_t bytes_ = 0;
};

}  // namespace powerhouse
