// The CUDA kernels that work by rows, elements or blocks: all but attention. Arguments are those of the CPU kernels, in
// the device's memory; a launch is queued on the stream and returns at once, take_error() tells whether it could be.
// Nothing is launched for nothing to do. Inputs are trusted: callers check sizes.
//
// 16-byte accesses are used where all pointers and strides allow them; elsewhere elements go one by one.
#pragma once

#include <cstdint>

#include "kernels/cpu/kernels.h"
#include "kernels/cuda/optimizer_params.h"
#include "kernels/cuda/quantized_product_params.h"
#include "kernels/cuda/sampling_params.h"
#include "kernels/cuda/stream.h"

namespace powerhouse::cuda {

/// `items`: rows * heads. False, of gradients too, where a row is longer than a block can hold: 16,384 elements, or
/// 4,096 where 16-byte accesses do not fit.
bool rms_norm(const cpu::RmsNormParams& params, std::int64_t items, Stream stream);
bool layer_norm(const cpu::LayerNormParams& params, std::int64_t items, Stream stream);

/// Parts of `part_rows` rows instead of kNormRows: dweight and dbias are [ceil(rows / part_rows), size], with own
/// weights a head [..., heads, size].
bool norm_gradient(const cpu::NormGradientParams& params, std::int64_t part_rows, Stream stream);

void rope(const cpu::RopeParams& params, std::int64_t tokens, Stream stream);
void activation_mul(const cpu::ActivationParams& params, std::int64_t rows, Stream stream);
void activation_gradient(const cpu::ActivationGradientParams& params, std::int64_t rows, Stream stream);

/// The same bits as on the CPU.
void dropout(const cpu::DropoutParams& params, std::int64_t rows, Stream stream);

/// A vocabulary below 2^31.
void cross_entropy(const cpu::CrossEntropyParams& params, std::int64_t rows, Stream stream);

/// The source begins on 32 bytes, the destination on 16. False for formats without a decoder: plain types are a
/// conversion.
bool dequantize(const cpu::DequantizeParams& params, std::int64_t blocks, Stream stream);

/// Any number of rows. False for formats without a decoder, and for float32 with more than kMostPlainRows.
bool quantized_product(const QuantizedProductParams& params, Stream stream);

void sample(const SamplingParams& params, std::int64_t rows, Stream stream);

/// UpdateRule::adamw with codes in both states. The StateCodes themselves are the host's, `values` and `bounds` in them
/// the device's. All arrays begin on 16 bytes.
void adamw8(const cpu::UpdateParams& params, std::int64_t elements, Stream stream);

/// Any rule, states of numbers.
void optimizer_update(const UpdateTable& table, Stream stream);
void sum_squares(const SumSquaresParams& params, Stream stream);

}  // namespace powerhouse::cuda
