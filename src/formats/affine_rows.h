// Rows of AFFINE blocks (kernels/common/blocks.h) made of packings that hold whole numbers with a scale and a zero for
// a group of inputs: GPTQ, AWQ, compressed-tensors, EXL2, HQQ. Nothing is rounded: codes, scales and zeros are the
// file's.
//
// Blocks are made whenever rows are read, from the file where it lies: a plan reads them once, into its panels;
// training reads them anew for each product. Columns of one group stand together: where a file's do not (act-order),
// blocks have an order of columns.
#pragma once

#include <string>
#include <vector>

#include "formats/tensor_view.h"

namespace powerhouse {

/// Groups of columns, as blocks have them.
struct AffineShape {
  std::int64_t outputs = 0;
  std::int64_t inputs = 0;
  int bits = 4;                       ///< of the blocks' codes: 4, 6 or 8, at least the file's
  std::int64_t unit = 128;            ///< elements of a block: 32, 64 or 128
  std::vector<std::int32_t> group{};  ///< [inputs / unit], the file's group of each block
  ColumnOrder order{};

  BlockFormat format() const;
  std::int64_t column(std::int64_t at) const { return order ? (*order)[static_cast<std::size_t>(at)] : at; }
};

/// Where `group_of` [inputs] gives each input's group. Error{unsupported} naming `module` where the columns of a group
/// are no multiple of 32.
AffineShape affine_shape(std::int64_t outputs, std::int64_t inputs, int bits, const std::vector<std::int32_t>& group_of,
                         const std::string& module, const std::string& file);

class AffineRows : public RowSource {
 public:
  AffineRows(AffineShape shape, std::vector<TensorView> parts) : shape_(std::move(shape)), parts_(std::move(parts)) {}

  void read(std::int64_t first, std::int64_t count, std::byte* blocks) const noexcept final;
  const std::vector<TensorView>& parts() const final { return parts_; }
  const ColumnOrder& order() const final { return shape_.order; }
  const AffineShape& shape() const { return shape_; }

 protected:
  /// Of up to kRows outputs from `first` on and a block's columns from `column` (in the blocks' order): code of output
  /// first + r and column column + i at codes[i * kRows + r].
  virtual void read_codes(std::int64_t first, std::int64_t rows, std::int64_t column,
                          std::uint8_t* codes) const noexcept = 0;
  /// The outputs' scales in float16 and zeros in one of the file's groups. Zeros become float16 too.
  virtual void read_levels(std::int64_t first, std::int64_t rows, std::int64_t group, std::uint16_t* scales,
                           float* zeros) const noexcept = 0;

 private:
  AffineShape shape_;
  std::vector<TensorView> parts_;
};

/// The weight `name` whose rows are made so.
TensorView affine_view(std::string name, std::shared_ptr<const AffineRows> rows);

}  // namespace powerhouse
