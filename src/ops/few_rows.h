// Products of a few rows with dense weights on a device (kernels/cuda/few_rows_product_params.h), with what stands in
// front of them and behind: the launches that a step of decoding is made of. Without autograd.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

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
struct DenseMap {
  at::Tensor weight;  ///< [out, in]
  at::Tensor bias{};
};

/// Whether there is a kernel for such rows and maps: on a device that has it, bf16 or f16, up to kMostFewRows.
bool few_rows_take(const FewRows& in, std::span<const DenseMap> maps);

/// Each returns nothing where a multiprocessor has no room for so many rows. `early`: weights may be read while
/// what was queued last still runs, and nothing that is queued still writes them.
///
/// y of up to three maps.
std::vector<at::Tensor> few_rows_products(const FewRows& in, std::span<const DenseMap> maps, bool early);
/// activation(gate) * up.
at::Tensor few_rows_gated(const FewRows& in, const DenseMap& gate, const DenseMap& up, Activation activation,
                          bool early);
/// residual + y.
at::Tensor few_rows_added(const FewRows& in, const DenseMap& map, const at::Tensor& residual, bool early);
/// y in float32, rounded once.
at::Tensor few_rows_f32(const FewRows& in, const DenseMap& map, bool early);

}  // namespace powerhouse::ops
