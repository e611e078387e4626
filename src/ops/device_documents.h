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

}  // namespace powerhouse::ops
