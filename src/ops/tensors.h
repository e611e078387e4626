// Small bridges between LibTorch's types and ours.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <cstdint>
#include <span>

#include "kernels/common/blocks.h"
#include "kernels/common/element.h"
#include "powerhouse/device.h"

namespace powerhouse {

at::ScalarType to_scalar_type(Dtype dtype);  // not for `automatic`
Dtype to_dtype(at::ScalarType type);         // f32, bf16, f16; Error{unsupported} for others
BlockFormat to_block_format(at::ScalarType type);
at::ScalarType to_scalar_type(BlockFormat format);  // plain formats only; Error{unsupported} for block formats

/// The kernels' word for f32, bf16 and f16; Error{unsupported} for others.
Element to_element(at::ScalarType type);

/// An uninitialised contiguous tensor.
at::Tensor empty_tensor(at::IntArrayRef sizes, at::ScalarType type, const at::Device& device = at::kCPU);

/// The same of another tensor's sizes, type and device.
at::Tensor empty_tensor_like(const at::Tensor& x);

/// int64 [values].
at::Tensor index_tensor(std::span<const std::int64_t> values, const at::Device& device = at::kCPU);
/// Numbers below 2^31 as int32 [values].
at::Tensor int_tensor(std::span<const std::int64_t> values, const at::Device& device);
/// float32 [values].
at::Tensor float_tensor(std::span<const float> values, const at::Device& device);

/// A tensor of the CPU on a device, and one of a device on the CPU. CUDA's small copies go through pinned memory, so
/// that an upload is queued like a launch: from other memory it would wait until all that is queued is done. Not while
/// a graph is recorded: it would read that memory again.
at::Tensor uploaded(const at::Tensor& here, const at::Device& device);
void upload_to(const at::Tensor& place, const at::Tensor& here);
at::Tensor downloaded(const at::Tensor& there);

/// x itself where its last dimension is contiguous and every vector along it begins on 16 bytes; else a copy of which
/// that holds.
at::Tensor aligned_vectors(const at::Tensor& x);

/// Tensors joined along a dimension.
at::Tensor concatenate(at::TensorList parts, std::int64_t dimension);

/// Whether autograd has to see an operation on these.
template <typename... Tensors>
bool needs_autograd(const Tensors&... tensors) {
  return c10::GradMode::is_enabled() && (... || (tensors.defined() && tensors.requires_grad()));
}

/// Whether our own kernels know the type: f32, bf16 or f16.
bool is_kernel_type(at::ScalarType type);

/// Whether our own CPU kernels can take the tensor: one of these types, on the CPU.
bool is_kernel_tensor(const at::Tensor& tensor);

}  // namespace powerhouse
