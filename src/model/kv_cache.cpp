#include "model/kv_cache.h"

#include <cstring>
#include <string>

#include "ops/tensors.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

constexpr std::int32_t kSlabPages = 32;

}  // namespace

KvCache::KvCache(std::vector<LayerShape> layers, at::ScalarType type, std::int64_t page_tokens)
    : layers_(std::move(layers)), type_(type), page_tokens_(page_tokens) {}

KvCache::Sequence& KvCache::at(std::int64_t sequence) {
  return const_cast<Sequence&>(std::as_const(*this).at(sequence));
}

const KvCache::Sequence& KvCache::at(std::int64_t sequence) const {
  const auto found = sequences_.find(sequence);
  if (found == sequences_.end()) {
    throw Error(ErrorKind::not_found, "no such sequence in the session",
                {.field = "sequence", .found = std::to_string(sequence)});
  }
  return found->second;
}

std::int64_t KvCache::create() {
  const std::int64_t id = next_sequence_++;
  sequences_.emplace(id, Sequence{});
  return id;
}

std::int64_t KvCache::fork(std::int64_t sequence) {
  Sequence copy = at(sequence);
  const std::int64_t id = create();
  for (const std::int32_t page : copy.table) ++references_[static_cast<std::size_t>(page)];
  sequences_[id] = std::move(copy);
  return id;
}

void KvCache::truncate(std::int64_t sequence, std::int64_t length) {
  Sequence& state = at(sequence);
  if (length < 0 || length > state.length) {
    throw Error(
        ErrorKind::range, "a sequence can only be cut to a length it has",
        {.field = "length", .expected = "0 to " + std::to_string(state.length), .found = std::to_string(length)});
  }
  state.length = length;
  rollback(sequence);
}

void KvCache::remove(std::int64_t sequence) {
  for (const std::int32_t page : at(sequence).table) drop_page(page);
  sequences_.erase(sequence);
}

void KvCache::swap(std::int64_t a, std::int64_t b) { std::swap(at(a), at(b)); }

std::int64_t KvCache::length(std::int64_t sequence) const { return at(sequence).length; }

void KvCache::reserve(std::int64_t sequence, std::int64_t tokens) {
  Sequence& state = at(sequence);
  // The page that the next token falls into may be shared with a fork: from here on it is ours alone.
  if (const std::int64_t inside = state.length % page_tokens_; inside != 0) {
    std::int32_t& last = state.table[static_cast<std::size_t>(state.length / page_tokens_)];
    if (references_[static_cast<std::size_t>(last)] > 1) {
      const std::int32_t copy = take_page();
      copy_page(last, copy);
      drop_page(last);
      last = copy;
    }
  }
  const auto wanted = static_cast<std::size_t>(pages_for(state.length + tokens));
  while (state.table.size() < wanted) state.table.push_back(take_page());
}

void KvCache::commit(std::int64_t sequence, std::int64_t tokens) { at(sequence).length += tokens; }

void KvCache::rollback(std::int64_t sequence) {
  Sequence& state = at(sequence);
  const auto kept = static_cast<std::size_t>(pages_for(state.length));
  while (state.table.size() > kept) {
    drop_page(state.table.back());
    state.table.pop_back();
  }
}

void KvCache::write(std::int64_t layer, std::int64_t sequence, const at::Tensor& key, const at::Tensor& value) {
  const Sequence& state = at(sequence);
  const LayerShape shape = layers_[static_cast<std::size_t>(layer)];
  const auto token_bytes =
      static_cast<std::size_t>(shape.num_key_value_heads * shape.head_dim) * c10::elementSize(type_);
  const std::int64_t rows = key.size(0);
  for (const bool is_value : {false, true}) {
    const at::Tensor source = (is_value ? value : key).to(type_).contiguous();
    const char* from = static_cast<const char*>(source.const_data_ptr());
    for (std::int64_t row = 0; row < rows;) {
      const std::int64_t position = state.length + row;
      const std::int64_t inside = position % page_tokens_;
      const std::int64_t run = std::min(rows - row, page_tokens_ - inside);
      char* base = page_base(layer, state.table[static_cast<std::size_t>(position / page_tokens_)], is_value);
      std::memcpy(base + static_cast<std::size_t>(inside) * token_bytes,
                  from + static_cast<std::size_t>(row) * token_bytes, static_cast<std::size_t>(run) * token_bytes);
      row += run;
    }
  }
}

KvCache::Pages KvCache::pages(std::int64_t layer, std::int64_t sequence) const {
  Pages out;
  pages(layer, sequence, out);
  return out;
}

void KvCache::pages(std::int64_t layer, std::int64_t sequence, Pages& out) const {
  out.keys.clear();
  out.values.clear();
  for (const std::int32_t page : at(sequence).table) {
    out.keys.push_back(page_base(layer, page, false));
    out.values.push_back(page_base(layer, page, true));
  }
}

KvCache::KeyValue KvCache::gather(std::int64_t layer, std::int64_t sequence, std::int64_t length,
                                  at::ScalarType type) const {
  const Sequence& state = at(sequence);
  const LayerShape shape = layers_[static_cast<std::size_t>(layer)];
  const auto token_bytes =
      static_cast<std::size_t>(shape.num_key_value_heads * shape.head_dim) * c10::elementSize(type_);
  KeyValue out;
  for (const bool is_value : {false, true}) {
    at::Tensor whole = empty_tensor({length, shape.num_key_value_heads, shape.head_dim}, type_);
    char* to = static_cast<char*>(whole.mutable_data_ptr());
    for (std::int64_t position = 0; position < length; position += page_tokens_) {
      const std::int64_t run = std::min(page_tokens_, length - position);
      std::memcpy(to + static_cast<std::size_t>(position) * token_bytes,
                  page_base(layer, state.table[static_cast<std::size_t>(position / page_tokens_)], is_value),
                  static_cast<std::size_t>(run) * token_bytes);
    }
    (is_value ? out.value : out.key) = whole.to(type);
  }
  return out;
}

std::size_t KvCache::bytes() const {
  std::size_t total = 0;
  for (const auto& slab : slabs_) {
    for (const at::Tensor& layer : slab) total += layer.nbytes();
  }
  return total;
}

std::int64_t KvCache::used_pages() const { return static_cast<std::int64_t>(references_.size() - free_.size()); }

std::int32_t KvCache::take_page() {
  if (free_.empty()) {
    std::vector<at::Tensor> slab;
    slab.reserve(layers_.size());
    for (const LayerShape& shape : layers_) {
      slab.push_back(empty_tensor({2, kSlabPages, page_tokens_, shape.num_key_value_heads, shape.head_dim}, type_));
    }
    const auto first = static_cast<std::int32_t>(slabs_.size()) * kSlabPages;
    free_.reserve(free_.size() + kSlabPages);
    references_.resize(references_.size() + kSlabPages, 0);
    slabs_.push_back(std::move(slab));
    for (std::int32_t page = kSlabPages - 1; page >= 0; --page) free_.push_back(first + page);
  }
  const std::int32_t page = free_.back();
  free_.pop_back();
  references_[static_cast<std::size_t>(page)] = 1;
  return page;
}

void KvCache::drop_page(std::int32_t page) {
  if (--references_[static_cast<std::size_t>(page)] == 0) free_.push_back(page);
}

void KvCache::copy_page(std::int32_t from, std::int32_t to) {
  for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
    const LayerShape shape = layers_[layer];
    const auto bytes =
        static_cast<std::size_t>(page_tokens_ * shape.num_key_value_heads * shape.head_dim) * c10::elementSize(type_);
    for (const bool value : {false, true}) {
      const auto at = static_cast<std::int64_t>(layer);
      std::memcpy(page_base(at, to, value), page_base(at, from, value), bytes);
    }
  }
}

char* KvCache::page_base(std::int64_t layer, std::int32_t page, bool value) const {
  const at::Tensor& slab = slabs_[static_cast<std::size_t>(page / kSlabPages)][static_cast<std::size_t>(layer)];
  const std::int64_t index = (value ? kSlabPages : 0) + page % kSlabPages;
  const std::int64_t elements = slab.stride(1) * index;
  return static_cast<char*>(slab.mutable_data_ptr()) + static_cast<std::size_t>(elements) * c10::elementSize(type_);
}

}  // namespace powerhouse
