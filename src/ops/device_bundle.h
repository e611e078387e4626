// Small arrays that the host makes and a device reads together: one copy, whose parts are tensors. Sent again into the
// same place, the tensors keep their addresses, as a graph wants it (device_graph.h).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace powerhouse::ops {

class DeviceBundle {
 public:
  /// Each returns the number of the part: int64 [values], int32 [values] of numbers below 2^31, float32 of any sizes.
  std::size_t add_indices(std::span<const std::int64_t> values);
  std::size_t add_ints(std::span<const std::int64_t> values);
  std::size_t add_floats(std::span<const float> values, at::IntArrayRef sizes);

  /// All parts, to a place of their own on the device.
  void send(const at::Device& device);
  /// To the place of another bundle with the same parts, in place.
  void send_to(const at::Tensor& place);
  /// Bytes on the device; undefined before.
  const at::Tensor& place() const { return place_; }

  /// A part where it was sent to.
  at::Tensor operator[](std::size_t part) const;

 private:
  struct Part {
    std::size_t offset;
    std::vector<std::int64_t> sizes;
    at::ScalarType type;
  };
  template <typename Stored, typename Value>
  std::size_t add(std::span<const Value> values, at::IntArrayRef sizes, at::ScalarType type);
  at::Tensor here() const;

  std::vector<std::byte> bytes_{};
  std::vector<Part> parts_{};
  at::Tensor place_{};
};

}  // namespace powerhouse::ops
