// What a device's kernels are told of a cache: addresses of pages, lengths and new rows of some sequences, made once
// for a pass and shared by all its layers. They travel in the pass's bundle (ops/device_bundle.h).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "model/kv_cache.h"
#include "ops/device_bundle.h"
#include "ops/device_paged.h"

namespace powerhouse {

class DevicePages {
 public:
  /// `row_starts` [sequences + 1]: where each one's new rows begin among all. They stand behind its length. Tables have
  /// room for `least_pages` of each sequence at least, and kernels are prepared for so many: what they are told stays
  /// the same, but for what lies in the bundle, while no sequence has more. Usable once the bundle is sent and read.
  DevicePages(const KvCache& cache, std::span<const std::int64_t> sequences, std::span<const std::int64_t> row_starts,
              ops::DeviceBundle& inputs, std::int64_t least_pages = 0);
  void read(const ops::DeviceBundle& inputs);

  /// All new rows, [all rows, kv_heads, head_dim], into room that is reserved.
  void write(std::int64_t layer, const at::Tensor& key, const at::Tensor& value) const;
  /// The same behind RoPE, which turns the query in place, and the key on its way. False, and nothing is done, for a
  /// cache of another type, and where attention would not read the key there.
  bool turn_and_write(std::int64_t layer, const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                      const ops::RopeTable& table, RopeLayout layout) const {
    return in_place(cache_, query.scalar_type(), most_rows_) &&
           ops::turn_and_write_pages(cache_of(layer), query, key, value, table, layout);
  }
  /// Attention of all new rows, which have been written. `key` and `value` are those rows, of which sequences consist
  /// that had none before.
  at::Tensor attend(std::int64_t layer, const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                    const ops::AttentionRule& rule) const;
  /// All positions, one sequence behind the other.
  ops::GatheredPages gather(std::int64_t layer, at::ScalarType type) const;

  /// Whether attention of such queries reads the cache where it lies, however long the sequences are.
  static bool in_place(const KvCache& cache, at::ScalarType query, std::int64_t most_rows);

 private:
  cuda::PagedCache cache_of(std::int64_t layer) const;

  const KvCache& cache_;
  std::vector<std::int64_t> row_starts_, key_starts_;
  std::int64_t most_rows_ = 0, most_length_ = 0, stride_ = 0;
  bool fresh_ = true;  // nothing stood in any sequence before
  struct {
    std::size_t addresses, lengths, row_starts, key_starts;
  } parts_{};                       // of the bundle
  at::Tensor addresses_;            // int64 [tables, 2, sequences, stride]
  at::Tensor lengths_;              // int32 [sequences]
  ops::DeviceDocuments documents_;  // the new rows, and what each sequence holds with them
};

}  // namespace powerhouse
