// The launchers of kernels/cuda/row_kernels.h with a launcher on the CPU in the place of the stream. Their files alone
// are compiled so that every load and store is seen.
#pragma once

#include "kernels/cpu/kernels.h"
#include "kernels/cuda/few_rows_product_params.h"
#include "kernels/cuda/optimizer_params.h"
#include "kernels/cuda/quantized_product_params.h"
#include "kernels/cuda/sampling_params.h"
#include "kernels/cuda_rows/on_host.h"

namespace powerhouse::testing {

bool rms_norm_on_host(const cpu::RmsNormParams& params, std::int64_t items, const HostLauncher& launcher);
bool layer_norm_on_host(const cpu::LayerNormParams& params, std::int64_t items, const HostLauncher& launcher);
bool norm_gradient_on_host(const cpu::NormGradientParams& params, std::int64_t part_rows, const HostLauncher& launcher);
void rope_on_host(const cpu::RopeParams& params, std::int64_t tokens, const HostLauncher& launcher);
void activation_on_host(const cpu::ActivationParams& params, std::int64_t rows, const HostLauncher& launcher);
void activation_gradient_on_host(const cpu::ActivationGradientParams& params, std::int64_t rows,
                                 const HostLauncher& launcher);
void dropout_on_host(const cpu::DropoutParams& params, std::int64_t rows, const HostLauncher& launcher);
void cross_entropy_on_host(const cpu::CrossEntropyParams& params, std::int64_t rows, const HostLauncher& launcher);
bool dequantize_on_host(const cpu::DequantizeParams& params, std::int64_t blocks, const HostLauncher& launcher);
bool quantized_product_on_host(const cuda::QuantizedProductParams& params, const HostLauncher& launcher);
bool few_block_rows_on_host(const cuda::FewRowsParams& params, const HostLauncher& launcher);
void sampling_on_host(const cuda::SamplingParams& params, std::int64_t rows, const HostLauncher& launcher);
void adamw8_on_host(const cpu::UpdateParams& params, std::int64_t elements, const HostLauncher& launcher);
void optimizer_update_on_host(const cuda::UpdateTable& table, const HostLauncher& launcher);
void sum_squares_on_host(const cuda::SumSquaresParams& params, const HostLauncher& launcher);

}  // namespace powerhouse::testing
