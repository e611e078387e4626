#include "model/device_pages.h"

#include <algorithm>

#include "ops/tensors.h"

namespace powerhouse {

DevicePages::DevicePages(const KvCache& cache, std::span<const std::int64_t> sequences,
                         std::span<const std::int64_t> row_starts, ops::DeviceBundle& inputs, std::int64_t least_pages)
    : cache_(cache), row_starts_(row_starts.begin(), row_starts.end()), key_starts_{0} {
  std::vector<std::vector<KvCache::Pages>> pages(sequences.size());
  std::vector<std::int64_t> lengths;
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    cache.pages(sequences[i], pages[i]);
    const std::int64_t rows = row_starts[i + 1] - row_starts[i], past = cache.length(sequences[i]);
    fresh_ = fresh_ && past == 0;
    lengths.push_back(past + rows);
    key_starts_.push_back(key_starts_.back() + lengths.back());
    most_rows_ = std::max(most_rows_, rows);
    most_length_ = std::max(most_length_, lengths.back());
    stride_ = std::max(stride_, std::ssize(pages[i].front().keys));
  }
  stride_ = std::max(stride_, least_pages);
  most_length_ = std::max(most_length_, least_pages * cache.page_tokens());
  const std::size_t tables = pages.empty() ? 0 : pages.front().size();
  std::vector<std::int64_t> addresses(tables * 2 * sequences.size() * static_cast<std::size_t>(stride_));
  auto row = addresses.begin();
  for (std::size_t table = 0; table < tables; ++table) {
    for (const bool value : {false, true}) {
      for (const auto& of_sequence : pages) {
        const auto& from = value ? of_sequence[table].values : of_sequence[table].keys;
        std::transform(from.begin(), from.end(), row,
                       [](const void* address) { return reinterpret_cast<std::int64_t>(address); });
        row += stride_;
      }
    }
  }
  parts_ = {.addresses = inputs.add_indices(addresses),
            .lengths = inputs.add_ints(lengths),
            .row_starts = inputs.add_ints(row_starts_),
            .key_starts = inputs.add_ints(key_starts_)};
}

void DevicePages::read(const ops::DeviceBundle& inputs) {
  addresses_ = inputs[parts_.addresses];
  lengths_ = inputs[parts_.lengths];
  documents_ = {.queries = inputs[parts_.row_starts],
                .keys = inputs[parts_.key_starts],
                .most_queries = most_rows_,
                .most_keys = most_length_};
}

bool DevicePages::in_place(const KvCache& cache, at::ScalarType query, std::int64_t most_rows) {
  const BlockFormat type = cache.formats().keys;
  const bool blocks = type == BlockFormat::q8_0 || type == BlockFormat::q4_0;
  return most_rows <= cuda::kMostPagedRows && (query == at::kFloat || blocks || type == to_block_format(query));
}

cuda::PagedCache DevicePages::cache_of(std::int64_t layer) const {
  const KvCache::LayerShape& shape = cache_.layers()[static_cast<std::size_t>(layer)];
  const auto sequences = static_cast<std::int64_t>(row_starts_.size()) - 1;
  const auto* const keys = addresses_.const_data_ptr<std::int64_t>() +
                           static_cast<std::int64_t>(cache_.table_of(layer)) * 2 * sequences * stride_;
  return {.type = cache_.formats().keys,
          .key_pages = reinterpret_cast<void* const*>(keys),
          .value_pages = reinterpret_cast<void* const*>(keys + sequences * stride_),
          .table_stride = stride_,
          .page_offset = cache_.page_offset(layer),
          .lengths = lengths_.const_data_ptr<std::int32_t>(),
          .row_starts = documents_.queries.const_data_ptr<std::int32_t>(),
          .sequences = static_cast<int>(sequences),
          .rows = static_cast<int>(most_rows_),
          .most_length = static_cast<int>(most_length_),
          .kv_heads = static_cast<int>(shape.num_key_value_heads),
          .head_dim = static_cast<int>(shape.head_dim),
          .page_tokens = static_cast<int>(cache_.page_tokens())};
}

void DevicePages::write(std::int64_t layer, const at::Tensor& key, const at::Tensor& value) const {
  ops::write_pages(cache_of(layer), key, value);
}

ops::GatheredPages DevicePages::gather(std::int64_t layer, at::ScalarType type) const {
  return ops::gather_pages(cache_of(layer), key_starts_.back(), documents_.keys, type);
}

at::Tensor DevicePages::attend(std::int64_t layer, const at::Tensor& query, const at::Tensor& key,
                               const at::Tensor& value, const ops::AttentionRule& rule) const {
  const auto type = query.scalar_type();
  if (in_place(cache_, type, most_rows_)) return ops::paged_attention_on_device(query, cache_of(layer), rule);
  const bool of_cache = cache_.formats().keys == to_block_format(type);
  // What a cache of another type holds is not what the rows were.
  const ops::GatheredPages all = fresh_ && of_cache ? ops::GatheredPages{key, value} : gather(layer, type);
  return ops::attention_over(query, all, documents_, row_starts_, key_starts_, rule);
}

}  // namespace powerhouse
