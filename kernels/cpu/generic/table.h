// The table of one instruction set. A file of kernels/cpu/ names its namespace (POWERHOUSE_ISA_NAMESPACE) and its Vec,
// then includes this. Everything else has internal linkage: no two instruction sets share a function.
#pragma once

#include "kernels/cpu/generic/activation.h"
#include "kernels/cpu/generic/activation_gradient.h"
#include "kernels/cpu/generic/adafactor.h"
#include "kernels/cpu/generic/attention.h"
#include "kernels/cpu/generic/bf16_linear.h"
#include "kernels/cpu/generic/cache.h"
#include "kernels/cpu/generic/convert.h"
#include "kernels/cpu/generic/cross_entropy.h"
#include "kernels/cpu/generic/dequantize.h"
#include "kernels/cpu/generic/dropout.h"
#include "kernels/cpu/generic/encode.h"
#include "kernels/cpu/generic/flash_backward.h"
#include "kernels/cpu/generic/flash_forward.h"
#include "kernels/cpu/generic/gemm.h"
#include "kernels/cpu/generic/layer_norm.h"
#include "kernels/cpu/generic/linear.h"
#include "kernels/cpu/generic/matmul.h"
#include "kernels/cpu/generic/merge_attention.h"
#include "kernels/cpu/generic/norm_gradient.h"
#include "kernels/cpu/generic/optimizer.h"
#include "kernels/cpu/generic/packed_linear.h"
#include "kernels/cpu/generic/prefill_attention.h"
#include "kernels/cpu/generic/quantize.h"
#include "kernels/cpu/generic/rms_norm.h"
#include "kernels/cpu/generic/rope.h"
#include "kernels/cpu/generic/vocabulary.h"
#include "kernels/cpu/kernels.h"

#define POWERHOUSE_STRING_OF(text) #text
#define POWERHOUSE_STRING(text) POWERHOUSE_STRING_OF(text)

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {

extern const CpuKernels kTable;
constinit const CpuKernels kTable{
    .name = POWERHOUSE_STRING(POWERHOUSE_ISA_NAMESPACE),
    .linear = linear,
    .quantize = quantize,
    .packed_linear = packed_linear,
    .bf16_linear = bf16_linear,
#ifdef POWERHOUSE_DOT_BF16
    .gemm_type = Element::bf16,
#endif
    .gemm = gemm,
#ifdef POWERHOUSE_MATMUL
    .matmul = matmul,
    .matmul_form = kMatmulForm,
#endif
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .rope = rope,
    .activation_mul = activation_mul,
    .attention = attention,
    .prefill_attention = prefill_attention,
    .merge_attention = merge_attention,
    .flash_forward = flash_forward,
    .flash_backward = flash_backward,
    .store_cache = store_cache,
    .convert = convert,
    .encode = encode,
    .dequantize = dequantize,
    .optimizer_update = optimizer_update,
    .sum_squares = sum_squares,
    .adafactor_squares = adafactor_squares,
    .adafactor_size = adafactor_size,
    .adafactor_update = adafactor_update,
    .norm_gradient = norm_gradient,
    .activation_gradient = activation_gradient,
    .dropout = dropout,
    .cross_entropy = cross_entropy,
    .argmax_f32 = argmax_f32,
    .max_f32 = max_f32,
    .moments_f32 = moments_f32,
    .exp_moments_f32 = exp_moments_f32,
    .places_at_least_f32 = places_at_least_f32,
    .log_sum_exp_f32 = log_sum_exp_f32,
    .softmax_f32 = softmax_f32,
    .first_not_finite = first_not_finite,
};

}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
