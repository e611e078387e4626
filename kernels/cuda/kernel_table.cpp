#include "kernels/cuda/kernel_table.h"

#include "kernels/cuda/devices.h"
#include "kernels/cuda/few_rows_product.h"
#include "kernels/cuda/flash_attention/launchers.h"
#include "kernels/cuda/gptq_product.h"
#include "kernels/cuda/lora_gather.h"
#include "kernels/cuda/paged_attention/launchers.h"
#include "kernels/cuda/row_kernels.h"

namespace powerhouse::cuda {

namespace {

constexpr KernelTable kTable{
    .device_count = device_count,
    .device_properties = device_properties,
    .take_error = take_error,
    .graph_begin = graph_begin,
    .graph_end = graph_end,
    .graph_replay = graph_replay,
    .graph_drop = graph_drop,
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .norm_gradient = norm_gradient,
    .rope = rope,
    .activation_mul = activation_mul,
    .activation_gradient = activation_gradient,
    .dropout = dropout,
    .cross_entropy = cross_entropy,
    .dequantize = dequantize,
    .quantized_product = quantized_product,
    .sample = sample,
    .adamw8 = adamw8,
    .optimizer_update = optimizer_update,
    .sum_squares = sum_squares,
    .few_rows_product = few_rows_product,
    .rope_write = rope_write,
    .repack = repack,
    .repacked_product = repacked_product,
    .repacked_dequantize = repacked_dequantize,
    .flash_forward = flash_forward,
    .flash_backward = flash_backward,
    .paged_attention = paged_attention,
    .paged_write = paged_write,
    .paged_gather = paged_gather,
    .page_copy = page_copy,
    .lora_gather = lora_gather,
};

}  // namespace

}  // namespace powerhouse::cuda

extern "C" __attribute__((visibility("default"))) const powerhouse::cuda::KernelTable* powerhouse_cuda_kernels() {
  return &powerhouse::cuda::kTable;
}
