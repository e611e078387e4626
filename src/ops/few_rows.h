// Products of a few rows with dense weights or blocks on a device (kernels/cuda/few_rows_product_params.h), with what
// stands in front of them and behind: the launches that a step of decoding is made of. Without autograd.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <span>
#include <vector>

#include "ops/weight.h"
#include "powerhouse/model_config.h"

namespace powerhouse::ops {

/// The most rows that the kernel takes.
inline constexpr std::int64_t kMostFewRows = 16;

/// Rows [rows, in], and the RMSNorm in front of them, if any.
struct FewRows {
  at::Tensor x;
  const Norm* norm = nullptr;
  at::Tensor norm_weight{};
};
struct FewRowsMap {
  at::Tensor weight;  ///< [out, in], or the blocks of each output
  at::Tensor bias{};
  std::optional<BlockFormat> format{};  ///< of blocks
};

/// The map of a weight as it lies on a device: nothing where its codes are no blocks that the kernel reads.
std::optional<FewRowsMap> few_rows_map(const Weight& weight, const at::Tensor& bias);

/// Whether there is a kernel for such rows and maps: on a device that has it, bf16 or f16, up to kMostFewRows, weights
/// of one format.
bool few_rows_take(const FewRows& in, std::span<const FewRowsMap> maps);

/// Each returns nothing where a multiprocessor has no room for so many rows. `early`: weights may be read while
/// what was queued last still runs, and nothing that is queued still writes them.
///
/// y of up to three maps.
std::vector<at::Tensor> few_rows_products(const FewRows& in, std::span<const FewRowsMap> maps, bool early);
/// activation(gate) * up.
at::Tensor few_rows_gated(const FewRows& in, const FewRowsMap& gate, const FewRowsMap& up, Activation activation,
                          bool early);
/// residual + y.
at::Tensor few_rows_added(const FewRows& in, const FewRowsMap& map, const at::Tensor& residual, bool early);
/// y in float32, rounded once.
at::Tensor few_rows_f32(const FewRows& in, const FewRowsMap& map, bool early);

}  // namespace powerhouse::ops
