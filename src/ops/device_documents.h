// Packed documents as a device's attention reads them: made once for a pass and shared by its layers.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

namespace powerhouse::ops {

struct DeviceDocuments {
  at::Tensor queries{};  ///< int32 [documents + 1], where each one's rows begin, and the end
  at::Tensor keys{};     ///< the same of what it sees: rows of `places`, or of all rows
  at::Tensor places{};   ///< int64: a row of keys for each that a document sees; undefined: all rows in their order
  std::int64_t most_queries = 0, most_keys = 0;

  bool defined() const { return queries.defined(); }
};

/// `prefixes` as in ops/flash_attention.h.
DeviceDocuments device_documents(std::span<const std::int64_t> cu_seqlens, std::span<const std::int64_t> prefixes,
                                 const at::Device& device);

/// Numbers below 2^31 as int32 [values].
at::Tensor int_tensor(std::span<const std::int64_t> values, const at::Device& device);

/// float32 [values].
at::Tensor float_tensor(std::span<const float> values, const at::Device& device);

/// x itself where its last dimension is contiguous and every vector along it begins on 16 bytes; else a copy of which
/// that holds.
at::Tensor aligned_vectors(const at::Tensor& x);

}  // namespace powerhouse::ops
