// PackedBf16: rows of a bf16 weight in the layout that products read (kernels/common/packed_bf16.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "kernels/common/packed_bf16.h"
#include "ops/panel_packer.h"
#include "ops/weight.h"

namespace powerhouse {

class PackedBf16 {
 public:
  /// `count` rows of a weight, row i being rows(i) of its matrix, as soon as `packer` has run, which holds `weight` and
  /// a copy of `rows` till then. The file's pages are released. Nothing where it is not a matrix of bf16 that lies in a
  /// file, or not worth it: with many numbers far smaller than their neighbours.
  static std::optional<PackedBf16> pack(const Weight& weight, std::int64_t count,
                                        const std::function<std::int64_t(std::int64_t)>& rows, PanelPacker& packer);

  /// `count` rows from `first` on, a multiple of 16; they share the memory.
  PackedBf16 part(std::int64_t first, std::int64_t count) const;

  Bf16Panels panels() const;
  std::int64_t inputs() const { return inputs_; }
  std::size_t bytes() const { return bytes_; }

 private:
  std::shared_ptr<void> panels_;
  std::shared_ptr<const std::vector<Bf16Outlier>> outliers_;
  std::shared_ptr<const std::vector<std::int64_t>> first_outlier_;
  std::size_t first_panel_ = 0;
  std::int64_t inputs_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace powerhouse
