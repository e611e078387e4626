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

/// A row of one of the tensors that hold a weight.
struct RowPlace {
  std::int64_t tensor = 0;
  std::int64_t row = 0;
};

/// Where each canonical row lies. Empty means one tensor, rows as they are. A vector's rows are its elements, and so
/// are those of a weight with `by_element`.
using RowPlaces = std::function<RowPlace(std::int64_t row)>;

/// A weight as a file has it.
struct StoredWeight {
  std::vector<TensorView> views;    // all of one shape
  std::vector<std::int64_t> shape;  // canonical: rows first
  RowPlaces place = nullptr;
  bool transposed = false;  // the view is [in, out], canonical rows are outputs
  float offset = 0.0f;      // the file holds value + offset
  bool by_element = false;  // `place` tells of elements
};

class Weight {
 public:
  Weight() = default;

  /// A dense weight; `handed_out_transposed` as below.
  static Weight dense(std::string name, at::Tensor tensor, bool handed_out_transposed = false);
  /// Views into a file. Float formats that need no reordering and lie aligned are used in place where their type is
  /// `compute_type`; everything else waits for `prepare`. With `handed_out_transposed` the dense tensor is [..., in,
  /// out], though its memory is rows of outputs.
  static Weight from_file(std::string name, StoredWeight stored, bool handed_out_transposed,
                          at::ScalarType compute_type);

  bool defined() const { return dense_.defined() || stored_.has_value(); }
  const std::string& name() const { return name_; }
  BlockFormat format() const;

  /// Makes the dense form from blocks. A weight that is dense already is left alone.
  void prepare(at::ScalarType compute_type);
  /// The dense form in the compute type. `prepare` must have been called.
  const at::Tensor& tensor() const { return dense_; }
  /// The same as rows of outputs, where it is handed out as [in, out].
  at::Tensor matrix() const { return handed_out_transposed_ ? dense_.transpose(-2, -1) : dense_; }

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
  bool mapped_ = false;  // dense_ lies in a file's mapping
  bool handed_out_transposed_ = false;
  std::optional<StoredWeight> stored_;  // the canonical blocks, while they are canonical
  std::uint64_t replaced_ = 0;
};

}  // namespace powerhouse
