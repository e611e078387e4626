// Which matrices of a layer are quantized, and which modules of a Hugging Face folder they are.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "formats/grouped_codes.h"
#include "model/weights.h"
#include "powerhouse/calibration.h"

namespace powerhouse {

/// A linear module of a folder: rows of a matrix here, in the module's order.
struct ModuleRows {
  std::string name;                  ///< e.g. "model.layers.0.mlp.up_proj"
  std::vector<std::int64_t> rows{};  ///< empty: all, in order
};

/// A matrix of a layer, [outputs, inputs]; one expert's where `expert` is not -1.
struct LinearTarget {
  const ParameterSpec* spec = nullptr;
  std::int64_t expert = -1;
  std::vector<ModuleRows> modules{};

  Role role() const { return spec->role; }
  std::int64_t outputs() const { return spec->shape[spec->shape.size() - (spec->transposed ? 1 : 2)]; }
  std::int64_t inputs() const { return spec->shape[spec->shape.size() - (spec->transposed ? 2 : 1)]; }
  /// What reports call it.
  std::string name() const;
  /// A view of the layer's own weight, which is dense.
  at::Tensor matrix(const DecoderWeights& weights) const;
};

/// A target and what became of it.
struct QuantizedTarget {
  LinearTarget target;
  GroupedCodes codes;
  LinearReport report;
};

/// All linear maps of a layer but routers and gates of a shared expert, in the order of parameters. Error{unsupported}
/// for experts that folders of the family hold in one tensor, of which packed formats know nothing.
std::vector<LinearTarget> linear_targets(const DecoderWeights& weights, std::int64_t layer);

/// Those rows of a matrix.
GroupedCodes select_rows(const GroupedCodes& matrix, const std::vector<std::int64_t>& rows);

}  // namespace powerhouse
