#include "ops/device_bundle.h"

#include <c10/core/TensorImpl.h>

#include <algorithm>
#include <cstring>

#include "ops/tensors.h"
#include "powerhouse/error.h"

namespace powerhouse::ops {

template <typename Stored, typename Value>
std::size_t DeviceBundle::add(std::span<const Value> values, at::IntArrayRef sizes, at::ScalarType type) {
  constexpr std::size_t kAlignment = 16;  // of vectors that kernels read at once
  const std::size_t offset = (bytes_.size() + kAlignment - 1) / kAlignment * kAlignment;
  bytes_.resize(offset + values.size() * sizeof(Stored));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto stored = static_cast<Stored>(values[i]);
    std::memcpy(bytes_.data() + offset + i * sizeof(Stored), &stored, sizeof(Stored));
  }
  parts_.push_back({offset, sizes.vec(), type});
  return parts_.size() - 1;
}

std::size_t DeviceBundle::add_indices(std::span<const std::int64_t> values) {
  return add<std::int64_t>(values, {std::ssize(values)}, at::kLong);
}

std::size_t DeviceBundle::add_ints(std::span<const std::int64_t> values) {
  return add<std::int32_t>(values, {std::ssize(values)}, at::kInt);
}

std::size_t DeviceBundle::add_floats(std::span<const float> values, at::IntArrayRef sizes) {
  return add<float>(values, sizes, at::kFloat);
}

at::Tensor DeviceBundle::here() const {
  at::Tensor bytes = empty_tensor({std::ssize(bytes_)}, at::kByte);
  if (!bytes_.empty()) std::memcpy(bytes.mutable_data_ptr(), bytes_.data(), bytes_.size());
  return bytes;
}

void DeviceBundle::send(const at::Device& device) {
  at::Tensor place = empty_tensor({std::ssize(bytes_)}, at::kByte, device);
  send_to(place);
}

void DeviceBundle::send_to(const at::Tensor& place) {
  if (place.numel() != std::ssize(bytes_)) {
    throw Error(ErrorKind::usage, "a bundle is sent to a place of another size",
                {.expected = std::to_string(place.numel()), .found = std::to_string(bytes_.size())});
  }
  place_ = place;
  if (!bytes_.empty()) upload_to(place_, here());
}

at::Tensor DeviceBundle::operator[](std::size_t part) const {
  const Part& of = parts_[part];
  at::Tensor view = at::detail::make_tensor<c10::TensorImpl>(c10::Storage(place_.storage()), place_.key_set(),
                                                             c10::scalarTypeToTypeMeta(of.type));
  view.unsafeGetTensorImpl()->set_storage_offset(static_cast<std::int64_t>(of.offset / view.element_size()));
  view.unsafeGetTensorImpl()->set_sizes_contiguous(of.sizes);
  return view;
}

}  // namespace powerhouse::ops
