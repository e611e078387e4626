#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>

#include "kernels/cuda_paged/paged_case.h"
#include "kernels/reference/cache.h"

namespace powerhouse::testing {

using cuda_on_host::Contents;
using cuda_on_host::GlobalMemory;

namespace {

constexpr int kLayers = 2;  // of which the second is used

int pages_of(const CacheCase& one, int sequence) {
  return (one.lengths[static_cast<std::size_t>(sequence)] + one.page_tokens - 1) / one.page_tokens;
}

int most_pages(const CacheCase& one) {
  int most = 1;
  for (int s = 0; s < one.sequences(); ++s) most = std::max(most, pages_of(one, s));
  return most + 1;
}

int all_pages(const CacheCase& one) {
  int pages = 2 + one.shared_pages;
  for (int s = 0; s < one.sequences(); ++s) pages += pages_of(one, s);
  return pages;
}

std::uint64_t mix(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
  x = (x ^ x >> 27) * 0x94D049BB133111EBu;
  return x ^ x >> 31;
}

}  // namespace

int CacheCase::all_rows() const { return std::accumulate(rows.begin(), rows.end(), 0); }
int CacheCase::first_row(int sequence) const { return std::accumulate(rows.begin(), rows.begin() + sequence, 0); }

float number_at(std::uint64_t what, std::uint64_t name, int position, int head, int d) {
  const auto place = static_cast<std::uint64_t>(position) << 32 | static_cast<std::uint64_t>(head) << 16 |
                     static_cast<std::uint64_t>(d);
  return static_cast<float>(mix(mix(what * 1000 + name) ^ place) >> 40) * 0x1p-23f - 1.0f;
}

CacheOnHost::CacheOnHost(const CacheCase& one, bool filled, bool row_starts)
    : case_(one),
      with_row_starts_(row_starts),
      pages_(all_pages(one)),
      table_stride_(most_pages(one)),
      row_bytes_(cpu::cache_bytes(one.cache, one.head_dim)),
      page_bytes_(one.page_tokens * one.kv_heads * row_bytes_),
      keys_(static_cast<std::size_t>(kLayers * pages_ * page_bytes_)),
      values_(keys_.size()),
      key_table_(static_cast<std::size_t>(one.sequences() * table_stride_)),
      value_table_(key_table_.size()) {
  std::memset(keys_.data(), 0xFF, keys_.bytes());
  std::memset(values_.data(), 0xFF, values_.bytes());
  std::fill(key_table_.begin(), key_table_.end(), reinterpret_cast<void*>(std::uintptr_t{64}));
  std::fill(value_table_.begin(), value_table_.end(), reinterpret_cast<void*>(std::uintptr_t{64}));
  std::vector<int> order(static_cast<std::size_t>(pages_));
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), std::mt19937(5));
  std::size_t next = static_cast<std::size_t>(one.shared_pages);
  row_starts_.push_back(0);
  for (int s = 0; s < one.sequences(); ++s) {
    for (int page = 0; page < pages_of(one, s); ++page) {
      const int taken = order[page < one.shared_pages ? static_cast<std::size_t>(page) : next++];
      key_table_[table_at(s, page)] = keys_.data() + taken * page_bytes_;
      value_table_[table_at(s, page)] = values_.data() + taken * page_bytes_;
    }
    const int end = filled ? one.lengths[static_cast<std::size_t>(s)] : one.position(s, 0);
    for (int position = 0; position < end; ++position) fill(s, position);
    row_starts_.push_back(row_starts_.back() + one.rows[static_cast<std::size_t>(s)]);
  }
}

float CacheOnHost::given(int sequence, int position, int kv_head, int d, bool value) const {
  const bool shared = position / case_.page_tokens < case_.shared_pages;
  return number_at(value ? 1 : 2, shared ? 77 : case_.name(sequence), position, kv_head, d) *
         (value ? case_.largest_value : 2.0f);
}

void CacheOnHost::fill(int sequence, int position) {
  std::vector<float> x(static_cast<std::size_t>(case_.head_dim));
  for (const bool value : {false, true}) {
    for (int head = 0; head < case_.kv_heads; ++head) {
      for (int d = 0; d < case_.head_dim; ++d) {
        x[static_cast<std::size_t>(d)] = given(sequence, position, head, d, value);
      }
      reference::store_cache({.source_type = Element::f32,
                              .cache_type = case_.cache,
                              .source = x.data(),
                              .destination = row(sequence, position, head, value)},
                             0, case_.head_dim);
    }
  }
}

std::uint8_t* CacheOnHost::row(int sequence, int position, int kv_head, bool value) {
  auto* const page = static_cast<std::uint8_t*>(table(sequence, position / case_.page_tokens, value));
  return page + pages_ * page_bytes_ + (position % case_.page_tokens * case_.kv_heads + kv_head) * row_bytes_;
}

double CacheOnHost::cell(int sequence, int position, int kv_head, int d, bool value) {
  return static_cast<double>(reference::read_cell(row(sequence, position, kv_head, value), case_.cache, d));
}

void CacheOnHost::add_to(GlobalMemory& memory, Contents contents) {
  memory.add(keys_.data(), keys_.bytes(), "keys", contents);
  memory.add(values_.data(), values_.bytes(), "values", contents);
  memory.add(key_table_.data(), key_table_.bytes(), "key_pages", Contents::input);
  memory.add(value_table_.data(), value_table_.bytes(), "value_pages", Contents::input);
  memory.add(case_.lengths.data(), case_.lengths.size() * 4, "lengths", Contents::input);
  memory.add(row_starts_.data(), row_starts_.size() * 4, "row_starts", Contents::input);
}

cuda::PagedCache CacheOnHost::params() {
  const auto elements = static_cast<std::int64_t>(case_.page_tokens) * case_.kv_heads * case_.head_dim;
  return {.type = case_.cache,
          .key_pages = key_table_.data(),
          .value_pages = value_table_.data(),
          .table_stride = table_stride_,
          .page_offset = pages_ * elements,
          .lengths = case_.lengths.data(),
          .row_starts = with_row_starts_ ? row_starts_.data() : nullptr,
          .sequences = case_.sequences(),
          .rows = *std::max_element(case_.rows.begin(), case_.rows.end()),
          .most_length = *std::max_element(case_.lengths.begin(), case_.lengths.end()),
          .kv_heads = case_.kv_heads,
          .head_dim = case_.head_dim,
          .page_tokens = case_.page_tokens};
}

std::vector<std::uint8_t> CacheOnHost::bytes() const {
  std::vector<std::uint8_t> all(keys_.data(), keys_.data() + keys_.size());
  all.insert(all.end(), values_.data(), values_.data() + values_.size());
  return all;
}

}  // namespace powerhouse::testing
