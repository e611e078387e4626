// A tensor inside a file: its name, shape and format, and where its bytes are mapped. No LibTorch here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/common/blocks.h"
#include "support/mapped_file.h"

namespace powerhouse {

struct TensorView;

/// Order of columns: blocks' column i is the matrix's column (*order)[i]. Null: their own.
using ColumnOrder = std::shared_ptr<const std::vector<std::int32_t>>;
inline bool same_order(const ColumnOrder& a, const ColumnOrder& b) { return a == b || (a && b && *a == *b); }

/// Rows of blocks that lie otherwise in the file, and are made of its tensors whenever they are read: packings that are
/// not by rows (formats/affine_rows.h).
class RowSource {
 public:
  /// Reading this many neighbours at a time, from a multiple of it on, is fastest.
  static constexpr std::int64_t kRows = 16;

  virtual ~RowSource() = default;
  /// Rows [first, first + count) one behind the other, in the view's format. From any thread.
  virtual void read(std::int64_t first, std::int64_t count, std::byte* blocks) const noexcept = 0;
  /// The file's tensors, by names of the file.
  virtual const std::vector<TensorView>& parts() const = 0;
  virtual const ColumnOrder& order() const = 0;
};

struct TensorView {
  std::string name;
  BlockFormat format = BlockFormat::f32;
  std::vector<std::int64_t> shape;         // outermost first: [rows, columns]; GGUF's order is reversed on reading
  const std::byte* data = nullptr;         // inside `file`; null where `rows` makes them
  std::size_t bytes = 0;                   // in the file
  std::shared_ptr<const MappedFile> file;  // keeps the bytes mapped
  std::shared_ptr<const RowSource> rows{};

  std::int64_t elements() const {
    std::int64_t count = 1;
    for (const std::int64_t dimension : shape) count *= dimension;  // checked when the file was read
    return count;
  }
  /// Gives back the pages of the file that it is read from; they are read again where they are needed.
  void release() const noexcept {
    if (!rows) return file->release(data, bytes);
    for (const TensorView& part : rows->parts()) part.release();
  }
};

}  // namespace powerhouse
