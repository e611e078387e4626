// Weight: a parameter in its storage format.
//
// The canonical form is either a dense tensor (float types; trainable; its own bytes or a file's, used in place) or
// mapped blocks of a file (quantized types; read-only). Computing uses the dense form in the compute type, made once
// from blocks by `prepare`; the mapped pages are then released, so that memory does not double. `version` changes with
// every write, so that any further packed form can tell that it is stale.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "formats/tensor_view.h"

namespace powerhouse {

/// How rows of a file's matrix are found: canonical row r is the file's row map(r). Empty means as they are.
using RowMap = std::function<std::int64_t(std::int64_t row)>;

class Weight {
 public:
  Weight() = default;

  /// A dense weight.
  static Weight dense(std::string name, at::Tensor tensor);
  /// A view into a file. Float formats that need no reordering and lie aligned are used in place where their type is
  /// `compute_type`; everything else waits for `prepare`.
  static Weight from_view(std::string name, TensorView view, RowMap row_map, at::ScalarType compute_type);

  bool defined() const { return dense_.defined() || view_.has_value(); }
  const std::string& name() const { return name_; }
  BlockFormat format() const;

  /// Makes the dense form from blocks. A weight that is dense already is left alone.
  void prepare(at::ScalarType compute_type);
  /// The dense form in the compute type. `prepare` must have been called.
  const at::Tensor& tensor() const { return dense_; }

  /// The dense form becomes canonical: what is written to it counts, and the file is let go.
  at::Tensor& materialize();
  /// As `materialize`, and copied first where it lies in a mapped file.
  at::Tensor& own();
  bool is_mapped() const { return mapped_; }

  /// Changes with every write to the canonical form.
  std::uint64_t version() const;

 private:
  std::string name_;
  at::Tensor dense_;
  bool mapped_ = false;             // dense_ lies in a file's mapping
  std::optional<TensorView> view_;  // the canonical blocks, while they are canonical
  RowMap row_map_;
  std::uint64_t replaced_ = 0;
};

}  // namespace powerhouse
