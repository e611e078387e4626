// Modules with adapters: what the decoder computes instead of a plain product, embedding or expert.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "model/adapter_table.h"
#include "model/weights.h"
#include "ops/moe.h"
#include "powerhouse/device.h"

namespace powerhouse {

/// How a pass computes modules with adapters.
struct AdaptedPass {
  Numerics numerics = Numerics::fast;
  std::optional<std::uint64_t> dropout_key{};  ///< none: no dropout
  std::int64_t first_row = 0;                  ///< of those that dropout draws for, where others stand before them
  bool keep_blocks = false;  ///< weights of blocks are dense for a product alone, else from their first product on
};

/// A module's own parameters. `bias` may be undefined.
struct BaseModule {
  const Weight& weight;
  const at::Tensor& bias;
};

/// The module as a part of a group of linear maps (ops/adapted_linear.h), its weight kept as blocks. None where its
/// adapters (null: it has none) are more than low-rank terms and a bias.
std::optional<ops::LinearPart> linear_part(const BaseModule& base, const ModuleAdapters* adapters,
                                           const AdaptedPass& pass);

/// x [rows, in] by the module and its adapters, [rows, out] in x's type. Differentiable.
at::Tensor adapted_product(const at::Tensor& x, const BaseModule& base, const ModuleAdapters& adapters,
                           const AdaptedPass& pass);
/// The same in float32 (float64 for float64): for the head.
at::Tensor adapted_product_f32(const at::Tensor& x, const BaseModule& base, const ModuleAdapters& adapters,
                               const AdaptedPass& pass);

/// Rows of an embedding matrix, `ids` int64 [rows]; [rows, hidden]. Differentiable.
at::Tensor adapted_embedding(const at::Tensor& ids, const Weight& weight, const ModuleAdapters& adapters,
                             const AdaptedPass& pass);

/// Experts of which `gate_up` or `down` (null: plain) have adapters, or whose blocks are kept.
ops::Experts adapted_experts(const LayerWeights& weights, const Moe& choice, const ModuleAdapters* gate_up,
                             const ModuleAdapters* down, const AdaptedPass& pass);

}  // namespace powerhouse
