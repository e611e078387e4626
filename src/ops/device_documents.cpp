#include "ops/device_documents.h"

#include <algorithm>
#include <vector>

#include "ops/documents.h"
#include "ops/tensors.h"

namespace powerhouse::ops {

DeviceDocuments device_documents(std::span<const std::int64_t> cu_seqlens, std::span<const std::int64_t> prefixes,
                                 const at::Device& device) {
  DeviceDocuments out{.queries = uploaded(int_tensor(cu_seqlens, at::kCPU), device)};
  std::vector<std::int64_t> begins{0}, places;
  const auto add = [&](std::int64_t first, std::int64_t count) {
    for (std::int64_t row = first; row < first + count; ++row) places.push_back(row);
  };
  bool continued = false;
  for (std::size_t i = 0; i + 1 < cu_seqlens.size(); ++i) {
    const std::int64_t rows = cu_seqlens[i + 1] - cu_seqlens[i];
    const RowRange prefix = prefix_rows(cu_seqlens, prefixes, i);
    continued = continued || prefix.count > 0;
    add(prefix.first, prefix.count);
    add(cu_seqlens[i], rows);
    begins.push_back(std::ssize(places));
    out.most_queries = std::max(out.most_queries, rows);
    out.most_keys = std::max(out.most_keys, prefix.count + rows);
  }
  out.keys = continued ? uploaded(int_tensor(begins, at::kCPU), device) : out.queries;
  if (continued) out.places = uploaded(index_tensor(places), device);
  return out;
}

}  // namespace powerhouse::ops
