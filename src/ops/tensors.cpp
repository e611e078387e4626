#include "ops/tensors.h"

#include <ATen/EmptyTensor.h>
#include <ATen/core/IListRef.h>
#include <ATen/ops/cat_ops.h>
#include <ATen/ops/empty_ops.h>

#include <algorithm>

#include "powerhouse/error.h"

namespace powerhouse {

at::ScalarType to_scalar_type(Dtype dtype) {
  switch (dtype) {
    case Dtype::f32: return at::kFloat;
    case Dtype::bf16: return at::kBFloat16;
    case Dtype::f16: return at::kHalf;
    case Dtype::automatic: break;
  }
  throw Error(ErrorKind::usage, "the dtype must be settled before it is used", {.field = "dtype"});
}

Dtype to_dtype(at::ScalarType type) {
  switch (type) {
    case at::kFloat: return Dtype::f32;
    case at::kBFloat16: return Dtype::bf16;
    case at::kHalf: return Dtype::f16;
    default:
      throw Error(ErrorKind::unsupported, "not a compute type",
                  {.field = "dtype", .expected = "f32, bf16 or f16", .found = c10::toString(type)});
  }
}

namespace {

struct PlainType {
  at::ScalarType scalar;
  BlockFormat block;
};

constexpr PlainType kPlainTypes[] = {
    {at::kDouble, BlockFormat::f64},
    {at::kFloat, BlockFormat::f32},
    {at::kHalf, BlockFormat::f16},
    {at::kBFloat16, BlockFormat::bf16},
    {at::kLong, BlockFormat::i64},
    {at::kInt, BlockFormat::i32},
    {at::kShort, BlockFormat::i16},
    {at::kChar, BlockFormat::i8},
    {at::kByte, BlockFormat::u8},
    {at::kBool, BlockFormat::boolean},
    {at::kFloat8_e4m3fn, BlockFormat::f8_e4m3},
    {at::kFloat8_e5m2, BlockFormat::f8_e5m2},
    {at::kUInt16, BlockFormat::u16},
    {at::kUInt32, BlockFormat::u32},
    {at::kUInt64, BlockFormat::u64},
};

}  // namespace

BlockFormat to_block_format(at::ScalarType type) {
  for (const PlainType& row : kPlainTypes) {
    if (row.scalar == type) return row.block;
  }
  throw Error(ErrorKind::unsupported, "this tensor type has no file format", {.found = c10::toString(type)});
}

at::ScalarType to_scalar_type(BlockFormat format) {
  for (const PlainType& row : kPlainTypes) {
    if (row.block == format) return row.scalar;
  }
  throw Error(ErrorKind::unsupported, "a block format has no LibTorch type", {.found = block_info(format).name});
}

Element to_element(at::ScalarType type) {
  switch (to_dtype(type)) {
    case Dtype::bf16: return Element::bf16;
    case Dtype::f16: return Element::f16;
    default: return Element::f32;
  }
}

at::Tensor empty_tensor(at::IntArrayRef sizes, at::ScalarType type, const at::Device& device) {
  if (device.is_cpu()) return at::detail::empty_cpu(sizes, type);
  return at::_ops::empty_memory_format::call(c10::fromIntArrayRefSlow(sizes), type, {}, device, {}, {});
}

at::Tensor uploaded(const at::Tensor& here, const at::Device& device) {
  if (!here.is_cpu() || !device.is_cuda()) return here.to(device);
  at::Tensor there = empty_tensor(here.sizes(), here.scalar_type(), device);
  upload_to(there, here);
  return there;
}

void upload_to(const at::Tensor& place, const at::Tensor& here) {
  constexpr std::size_t kMostPinned = 64 << 10;  // what a step of decoding sends, and targets of a step of training
  // Memory that is pinned already is its owner's to write again.
  const bool staged = place.is_cuda() && here.nbytes() <= kMostPinned && !here.is_pinned();
  place.copy_(staged ? here.pin_memory() : here, /*non_blocking=*/staged);
}

at::Tensor downloaded(const at::Tensor& there) {
  constexpr std::size_t kMostPinned = 1 << 20;  // whoever gets it may keep it
  if (!there.is_cuda() || there.nbytes() > kMostPinned) return there.to(at::kCPU);
  const at::Tensor here = at::_ops::empty_memory_format::call(
      c10::fromIntArrayRefSlow(there.sizes()), there.scalar_type(), {}, at::kCPU, /*pin_memory=*/true, {});
  return here.copy_(there);
}

at::Tensor empty_tensor_like(const at::Tensor& x) { return empty_tensor(x.sizes(), x.scalar_type(), x.device()); }

namespace {

template <typename Stored, typename Value>
at::Tensor tensor_of(std::span<const Value> values, at::ScalarType type, const at::Device& device) {
  at::Tensor tensor = empty_tensor({std::ssize(values)}, type);
  std::copy(values.begin(), values.end(), tensor.data_ptr<Stored>());
  return device.is_cpu() ? tensor : tensor.to(device);
}

}  // namespace

at::Tensor index_tensor(std::span<const std::int64_t> values, const at::Device& device) {
  return tensor_of<std::int64_t>(values, at::kLong, device);
}

at::Tensor int_tensor(std::span<const std::int64_t> values, const at::Device& device) {
  return tensor_of<std::int32_t>(values, at::kInt, device);
}

at::Tensor float_tensor(std::span<const float> values, const at::Device& device) {
  return tensor_of<float>(values, at::kFloat, device);
}

at::Tensor aligned_vectors(const at::Tensor& x) {
  bool aligned = x.stride(-1) == 1 && reinterpret_cast<std::uintptr_t>(x.const_data_ptr()) % 16 == 0;
  for (std::int64_t i = 0; i + 1 < x.dim(); ++i) {
    aligned = aligned && (x.size(i) < 2 || x.stride(i) * static_cast<std::int64_t>(x.element_size()) % 16 == 0);
  }
  return aligned ? x : x.clone(at::MemoryFormat::Contiguous);
}

at::Tensor concatenate(at::TensorList parts, std::int64_t dimension) { return at::_ops::cat::call(parts, dimension); }

bool is_kernel_type(at::ScalarType type) { return type == at::kFloat || type == at::kBFloat16 || type == at::kHalf; }

bool is_kernel_tensor(const at::Tensor& tensor) { return tensor.is_cpu() && is_kernel_type(tensor.scalar_type()); }

}  // namespace powerhouse
