// The CPU kernels: their arguments, and the table of function pointers that each instruction set fills.
//
// A kernel reads plain pointers, sizes and strides (all strides in elements), computes and accumulates in float32, and
// rounds once where it stores, unless said otherwise. It never allocates and never starts a thread: it does the part
// [begin, end) of its work items, and callers split the items among threads. The bits of an item do not depend on how
// the items are split nor on how many rows stand in the call. The definition of each kernel is the plain loop in
// kernels/reference/. Inputs are trusted: callers check sizes.
#pragma once

#include <cstdint>

#include "kernels/common/blocks.h"
#include "kernels/common/element.h"
#include "kernels/cpu/adafactor_params.h"
#include "kernels/cpu/attention_params.h"
#include "kernels/cpu/elementwise_params.h"
#include "kernels/cpu/flash_params.h"
#include "kernels/cpu/linear_params.h"
#include "kernels/cpu/matmul_params.h"
#include "kernels/cpu/optimizer_params.h"
#include "kernels/cpu/training_params.h"

namespace powerhouse::cpu {

/// destination[i] = source[i] in another type. Work items: elements.
struct ConvertParams {
  Element source_type = Element::f32;
  Element destination_type = Element::f32;
  const void* source = nullptr;
  void* destination = nullptr;
};

/// Blocks of a file, one behind the other, as dense numbers with the bits of kernels/reference/dequantize.h, rounded to
/// `type`. Any format of can_dequantize(). Work items: blocks.
struct DequantizeParams {
  BlockFormat format = BlockFormat::f32;
  Element type = Element::f32;  ///< of the destination
  const void* source = nullptr;
  void* destination = nullptr;
};

/// Rows of float32, one behind the other, as blocks of a format: the bytes of kernels/reference/encode.h, where the
/// preconditions stand. Work items: rows.
struct EncodeParams {
  BlockFormat format = BlockFormat::f32;
  const float* rows = nullptr;        ///< [rows, columns]
  std::int64_t columns = 0;           ///< a multiple of the format's block
  const float* importance = nullptr;  ///< [columns], or null
  void* blocks = nullptr;
  bool* failed = nullptr;  ///< [rows], set for rows of which no blocks could be made
};

struct Extremum {
  float value = 0.0f;
  std::int64_t index = -1;
};

/// Summed in float32 over short stretches, in float64 over all.
struct Moments {
  double count = 0, sum = 0, squares = 0;
};
struct ExpMoments {
  double sum = 0, weighted = 0;
};

/// One instruction set's kernels. `begin` and `end` count work items.
struct CpuKernels {
  const char* name = nullptr;  ///< scalar, avx2, avx512, avx512_vnni, avx512_bf16, amx
  void (*linear)(const LinearParams&, std::int64_t begin, std::int64_t end) = nullptr;
  void (*quantize)(const QuantizeParams&, std::int64_t begin, std::int64_t end) = nullptr;
  void (*packed_linear)(const PackedLinearParams&, std::int64_t begin, std::int64_t end) = nullptr;
  void (*bf16_linear)(const Bf16LinearParams&, std::int64_t begin, std::int64_t end) = nullptr;
  Element gemm_type = Element::f32;  ///< of the rows that `gemm` is fastest with
  void (*gemm)(const GemmParams&, std::int64_t begin, std::int64_t end, float* scratch) = nullptr;
  /// Null where a library's products are the faster ones: below AVX-512, and with tiles of bf16.
  void (*matmul)(const MatmulParams&, std::int64_t item, MatmulRoom& room) = nullptr;
  MatmulForm matmul_form = MatmulForm::f32;
  void (*rms_norm)(const RmsNormParams&, std::int64_t begin, std::int64_t end) = nullptr;
  void (*layer_norm)(const LayerNormParams&, std::int64_t begin, std::int64_t end) = nullptr;
  void (*rope)(const RopeParams&, std::int64_t begin, std::int64_t end) = nullptr;
  void (*activation_mul)(const ActivationParams&, std::int64_t begin, std::int64_t end) = nullptr;
  void (*attention)(const AttentionParams&, std::int64_t begin, std::int64_t end, float* scratch) = nullptr;
  void (*prefill_attention)(const PrefillParams&, std::int64_t begin, std::int64_t end, float* scratch) = nullptr;
  void (*merge_attention)(const AttentionMergeParams&, std::int64_t begin, std::int64_t end) = nullptr;
  void (*flash_forward)(const FlashParams&, std::int64_t begin, std::int64_t end, float* scratch) = nullptr;
  void (*flash_backward)(const FlashBackwardParams&, std::int64_t begin, std::int64_t end, float* scratch) = nullptr;
  void (*store_cache)(const CacheStoreParams&, std::int64_t begin, std::int64_t end) = nullptr;
  void (*convert)(const ConvertParams&, std::int64_t begin, std::int64_t end) = nullptr;
  void (*encode)(const EncodeParams&, std::int64_t begin, std::int64_t end) = nullptr;
  void (*dequantize)(const DequantizeParams&, std::int64_t begin, std::int64_t end) = nullptr;
  void (*optimizer_update)(const UpdateParams&, std::int64_t begin, std::int64_t end) = nullptr;
  /// The sum of squares of elements [begin, end), in float32 over short runs, which add up in float64.
  double (*sum_squares)(const void* x, Element type, std::int64_t begin, std::int64_t end) = nullptr;
  /// Adds the squares of rows [begin, end) to `column_sums` [columns], and puts each row's sum at its `row_sums`.
  void (*adafactor_squares)(const AdafactorParams&, std::int64_t begin, std::int64_t end, float* column_sums,
                            double* row_sums) = nullptr;
  /// The sum of squares of the update.
  double (*adafactor_size)(const AdafactorParams&, std::int64_t begin, std::int64_t end) = nullptr;
  void (*adafactor_update)(const AdafactorParams&, std::int64_t begin, std::int64_t end) = nullptr;
  void (*norm_gradient)(const NormGradientParams&, std::int64_t begin, std::int64_t end) = nullptr;
  void (*activation_gradient)(const ActivationGradientParams&, std::int64_t begin, std::int64_t end) = nullptr;
  void (*dropout)(const DropoutParams&, std::int64_t begin, std::int64_t end) = nullptr;
  void (*cross_entropy)(const CrossEntropyParams&, std::int64_t begin, std::int64_t end) = nullptr;
  /// The largest of x[0, count) and the first place it stands; the first NaN where there is one. count >= 1.
  Extremum (*argmax_f32)(const float* x, std::int64_t count) = nullptr;
  /// The largest; NaN with any NaN.
  float (*max_f32)(const float* x, std::int64_t count) = nullptr;
  /// Of what is not -infinity: how many, and the sums of x - shift and its square.
  Moments (*moments_f32)(const float* x, std::int64_t count, float shift) = nullptr;
  /// The sums of exp(x - pivot) and of it times x - pivot. No x - pivot is NaN or +infinity.
  ExpMoments (*exp_moments_f32)(const float* x, std::int64_t count, float pivot) = nullptr;
  /// The places of what is at least `bound`, which is not -infinity, rising; how many. Room for `count`.
  std::int64_t (*places_at_least_f32)(const float* x, std::int64_t count, float bound, std::int32_t* places) = nullptr;
  /// log(sum(exp(x))). NaN with any NaN; an infinite maximum is the result.
  float (*log_sum_exp_f32)(const float* x, std::int64_t count) = nullptr;
  /// y = exp(x) / sum(exp(x)); y may be x. All NaN where the maximum is not finite.
  void (*softmax_f32)(const float* x, float* y, std::int64_t count) = nullptr;
  /// The first index of [begin, end) whose value is NaN or infinite, or -1.
  std::int64_t (*first_not_finite)(const void* x, Element type, std::int64_t begin, std::int64_t end) = nullptr;
};

/// Names of every table in this build, from plain to best: {"scalar", "avx2", ...}, then null.
const char* const* kernel_names() noexcept;

/// The table of that name; null for an unknown name or one that this processor cannot run.
const CpuKernels* find_kernels(const char* name) noexcept;

/// The table in use: the best that this processor runs, or the one that POWERHOUSE_ISA names. Null where that variable
/// names none of them: whoever loads a model asks here once and makes it an Error.
const CpuKernels* selected_kernels() noexcept;

/// *selected_kernels(), for code behind that check (the scalar table where the check would have failed).
const CpuKernels& kernels() noexcept;

}  // namespace powerhouse::cpu
