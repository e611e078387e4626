// Weights of blocks as dense matrices that are not kept: what training on a quantized base multiplies by.
//
// Weight::tensor() keeps the dense form that it makes; a step of training needs each matrix twice, for one product, and
// must not hold the model a second time. These make it anew on all threads, at a small part of the product's cost.
// Values are those of the format's definition (kernels/reference/dequantize.h) rounded once to the type.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>

#include "kernels/common/element.h"
#include "ops/weight.h"

namespace powerhouse {

/// The whole weight in `type` (float32, bfloat16 or float16), as rows of outputs [..., out, in] in canonical order: a
/// new tensor without gradients, or the weight's own memory where it is dense already and of that type.
at::Tensor dequantized(const Weight& weight, at::ScalarType type);

/// Rows [first, first + count) of it, counted over all experts' matrices one behind the other: [count, in].
at::Tensor dequantized_rows(const Weight& weight, std::int64_t first, std::int64_t count, at::ScalarType type);

/// out[order[i]] = values[i], `count` elements of a type: from the order of blocks' columns to the matrix's own.
void put_in_order(const void* values, const std::int32_t* order, std::int64_t count, Element type, void* out) noexcept;

/// Whether a device has a decoder for the format.
bool can_dequantize_on(const at::Device& device, BlockFormat format);

/// Rows of blocks, uint8 [rows, bytes of a row] on a device, as [rows, columns] there. Of a decoder that is there.
at::Tensor dequantized_blocks(const at::Tensor& rows, const StoredWeight& stored, at::ScalarType type);

/// The same into memory, [count, in], by all threads. Not for weights that are stored transposed. A vector, and a
/// weight placed by element, has rows of one element.
void dequantize_rows(const StoredWeight& stored, std::int64_t first, std::int64_t count, Element type, std::byte* out);

}  // namespace powerhouse
