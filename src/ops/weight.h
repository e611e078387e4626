// Weight: a parameter in its storage format.
//
// The canonical form is either a dense tensor (float types; trainable; its own bytes or a file's, used in place) or
// mapped blocks of a file (quantized types; read-only). Whoever asks for a tensor of blocks gets the dense form in the
// compute type, made at the first call; the mapped pages are then released, so that memory does not double. A plan
// (model/plan.h) packs the blocks instead and never asks.
#pragma once

#include <ATen/core/Tensor.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "formats/tensor_view.h"

namespace powerhouse {

/// A row of one of the tensors that hold a weight.
struct StoredRow {
  std::int64_t tensor = 0;
  std::int64_t row = 0;
};

/// Where each canonical row lies. Empty means one tensor, rows as they are. A vector's rows are its elements, and so
/// are those of a weight with `by_element`.
using RowPlaces = std::function<StoredRow(std::int64_t row)>;

/// A weight as a file has it.
struct StoredWeight {
  std::vector<TensorView> views;    // all of one shape
  std::vector<std::int64_t> shape;  // canonical: rows first
  RowPlaces place = nullptr;
  bool transposed = false;  // the view is [in, out], canonical rows are outputs
  float offset = 0.0f;      // the file holds value + offset
  bool by_element = false;  // `place` tells of elements

  BlockFormat format() const { return views.front().format; }
  /// Whether elements are what is placed: each is a row.
  bool is_by_element() const { return place && (by_element || shape.size() == 1); }
  // Rows as the file has them, counted over all experts' matrices one behind the other; a vector in order is one.
  std::int64_t columns() const { return shape.empty() || is_by_element() ? 1 : shape.back(); }
  std::int64_t rows() const;
  std::int64_t row_bytes() const;
  /// Where a row lies, unless rows are made of something else.
  const std::byte* row(std::int64_t row) const;
  bool rows_are_made() const { return views.front().rows != nullptr; }
  /// Copies of some rows, one behind the other, made or not.
  void read_rows(std::span<const std::int64_t> rows, std::byte* blocks) const noexcept;
  /// Of a row: null where its columns stand in order.
  const std::int32_t* order_of(std::int64_t row) const;
  /// Of all rows; nothing where they differ.
  std::optional<ColumnOrder> column_order() const;
};

/// How a device holds AFFINE blocks that were repacked for it (ops/repacked_weight.h), beside their codes.
struct RepackedBlocks {
  at::Tensor levels{};     ///< scales and zeros
  at::Tensor order{};      ///< int32 [in], the column that each of the codes' meets; undefined: its own
  std::int64_t group = 0;  ///< columns that share a level
  int bits = 4;
};

class Weight {
 public:
  Weight() = default;

  /// A dense weight; `handed_out_transposed` as below.
  static Weight dense(std::string name, at::Tensor tensor, bool handed_out_transposed = false);
  /// Views into a file. Float formats that need no reordering and lie aligned are used in place where their type is
  /// `compute_type`; everything else is converted when it is asked for. With `handed_out_transposed` the dense tensor
  /// is [..., in, out], though its memory is rows of outputs.
  static Weight from_file(std::string name, StoredWeight stored, bool handed_out_transposed,
                          at::ScalarType compute_type);

  bool defined() const { return stored_.has_value() || dense_.defined(); }
  const std::string& name() const { return name_; }
  BlockFormat format() const;

  /// The dense form in the compute type. From any thread.
  const at::Tensor& tensor() const {
    if (!making_) return dense_;
    std::call_once(making_->once, [this] { make_dense(); });
    return making_->dense;
  }
  /// The same as rows of outputs, where it is handed out as [in, out].
  at::Tensor matrix() const { return handed_out_transposed_ ? tensor().transpose(-2, -1) : tensor(); }
  bool handed_out_transposed() const { return handed_out_transposed_; }
  /// The type of the dense form, made or not.
  at::ScalarType compute_type() const { return stored_ ? compute_type_ : dense_.scalar_type(); }
  /// Bytes of the dense form; 0 while there is none.
  std::size_t dense_bytes() const;

  /// The file's rows while they are canonical, or null.
  const StoredWeight* stored() const { return stored_ ? &*stored_ : nullptr; }
  /// One expert's matrix of [experts, out, in]: of blocks, the same blocks, else a view. Not placed by element.
  Weight expert(std::int64_t expert) const;
  /// One row of outputs (or of embeddings) in float32, of a matrix that is not handed out transposed. Behind
  /// `prepare_rows` it makes nothing and so can't fail.
  void read_row(std::int64_t row, float* values) const;
  void prepare_rows() const {
    if (stored_ && stored_->transposed) tensor();
  }
  /// The same of some rows, float32 [rows, columns] where the weight lies; `rows` is int64 [rows], anywhere.
  at::Tensor rows(const at::Tensor& rows) const;
  /// Where the rows of a matrix (of all experts' matrices, one behind the other) lie as plain numbers in the file, in
  /// its own float type. `row` is empty where the file holds something else, or the weight is its own.
  struct FileRows {
    BlockFormat format = BlockFormat::f32;
    std::int64_t columns = 0;
    std::function<const std::byte*(std::int64_t row)> row{};
  };
  FileRows file_rows() const;
  /// `count` of them, row i being row rows(i), as a tensor: in place where they lie so, else copied. Undefined where
  /// there are none.
  at::Tensor stored_rows(std::int64_t count, const std::function<std::int64_t(std::int64_t)>& rows) const;
  /// Gives the pages back that were read of the file; whoever reads them again gets them again.
  void release_file() const;
  /// All values in float32.
  std::vector<float> floats() const;

  /// The dense form becomes canonical: what is written to it counts, and the file is let go.
  at::Tensor& materialize();
  /// As `materialize`, and copied first where it lies in a mapped file.
  at::Tensor& own();
  bool is_mapped() const { return mapped_; }
  /// To a device: as blocks where it has a decoder, which can still be read from the file as well, else dense.
  void move_to(const at::Device& device);
  at::Device device() const { return blocks_.defined() ? blocks_.device() : stored_ ? at::kCPU : dense_.device(); }
  /// Blocks on a device, uint8 [rows, bytes of a row] in canonical order, or the codes of `repacked`; undefined where
  /// there are none.
  const at::Tensor& device_blocks() const { return blocks_; }
  /// Null where device_blocks are rows.
  const RepackedBlocks* repacked() const { return repacked_ ? &*repacked_ : nullptr; }
  /// Whether the canonical form is a tensor that requires gradients.
  bool requires_grad() const { return !stored_ && dense_.defined() && dense_.requires_grad(); }

  /// Changes with every write to the canonical form.
  std::uint64_t version() const;

 private:
  struct Making {
    std::once_flag once;
    std::atomic<bool> done{false};
    at::Tensor dense{};
  };
  void make_dense() const;

  std::string name_;
  at::Tensor dense_;
  std::shared_ptr<Making> making_{};  // where blocks are made dense later; copies of a weight share it
  at::ScalarType compute_type_ = at::kFloat;
  bool mapped_ = false;  // dense_ lies in a file's mapping, `view_`
  std::optional<TensorView> view_{};
  bool handed_out_transposed_ = false;
  std::optional<StoredWeight> stored_;  // the canonical blocks, while they are canonical
  at::Tensor blocks_{};                 // of `stored_`, on a device
  std::optional<RepackedBlocks> repacked_{};
  std::uint64_t replaced_ = 0;
};

/// Whether a matrix is held in fewer than 16 bits a number and has no dense form, which would multiply its memory.
bool is_quantized(const Weight& weight);

}  // namespace powerhouse
