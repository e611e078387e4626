#include "model/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "kernels/cpu/kernels.h"
#include "kernels/reference/dequantize.h"
#include "model/device_pages.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

// Tokens of a slab, or one page where that holds more.
constexpr std::int64_t kSlabTokens = 512;

// Room for some more elements, growing by doubling.
template <typename T>
void reserve_more(std::vector<T>& values, std::size_t count) {
  if (values.capacity() < values.size() + count) values.reserve(std::max(values.size() + count, 2 * values.size()));
}

}  // namespace

KvCache::KvCache(std::vector<LayerShape> layers, Formats formats, std::int64_t page_tokens, const at::Device& device)
    : layers_(std::move(layers)),
      formats_(formats),
      page_tokens_(page_tokens),
      device_(device),
      slab_pages_(static_cast<std::int32_t>(std::max<std::int64_t>(1, kSlabTokens / page_tokens))) {
  const std::int64_t block =
      std::max(block_info(formats.keys).block_elements, block_info(formats.values).block_elements);
  for (const LayerShape& shape : layers_) {
    if (shape.head_dim % block == 0) continue;
    throw Error(ErrorKind::unsupported, "a head of this model is no whole number of the cache type's blocks",
                {.field = "kv_type",
                 .expected = "a head_dim that is a multiple of " + std::to_string(block),
                 .found = std::to_string(shape.head_dim)});
  }
  check_device_heads();
  std::int64_t elements = 0;
  for (const LayerShape& shape : layers_) {
    const std::int64_t of_page = page_tokens_ * shape.num_key_value_heads * shape.head_dim;
    const auto& widths = half(false).page_bytes;
    const auto table = std::find(widths.begin(), widths.end(), bytes_of(of_page, false));
    places_.push_back({.offset = elements, .table = static_cast<std::size_t>(table - widths.begin())});
    if (table == widths.end()) {
      for (const bool value : {false, true}) halves_[value].page_bytes.push_back(bytes_of(of_page, value));
    }
    elements += slab_pages_ * of_page;
  }
  for (const bool value : {false, true}) halves_[value].slab_bytes = bytes_of(elements, value);
  if (!device_.is_cpu()) find_page_parts();
}

void KvCache::check_device_heads() const {
  if (device_.is_cpu()) return;
  if (formats_.keys != formats_.values || !cpu::is_cell_type(formats_.keys)) {
    throw Error(ErrorKind::unsupported, "no CUDA kernels for a cache of these types",
                {.field = "kv_type",
                 .expected = "one of f32, bf16, f16, q8_0 and q4_0 for keys and values",
                 .found = std::string(block_info(formats_.keys).name) + ", " + block_info(formats_.values).name});
  }
  for (const LayerShape& shape : layers_) {
    if (ops::device_cache_takes(formats_.keys, shape.head_dim)) continue;
    throw Error(ErrorKind::unsupported, "no CUDA kernels for a cache of such heads",
                {.field = "head_dim",
                 .expected = "a multiple of 8 (of 32 with q8_0 and q4_0), at most 256",
                 .found = std::to_string(shape.head_dim)});
  }
}

void KvCache::find_page_parts() {
  std::vector<std::vector<std::int64_t>> parts(half(false).page_bytes.size());
  for (const Place& place : places_) {  // keys and values are of one format here
    const std::size_t offset = bytes_of(place.offset, false);
    parts[place.table].push_back(static_cast<std::int64_t>(offset));
    parts[place.table].push_back(static_cast<std::int64_t>(half(false).slab_bytes + offset));
  }
  for (const auto& offsets : parts) page_parts_.push_back(index_tensor(offsets, device_));
}

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
  const auto wanted = static_cast<std::size_t>(pages_for(state.length + tokens));
  const std::size_t more = wanted > state.table.size() ? wanted - state.table.size() : 0;
  reserve_more(state.table, more);
  // The page that the next token falls into may be shared with a fork: from here on it is ours alone.
  std::int32_t* shared = nullptr;
  if (state.length % page_tokens_ != 0) {
    shared = &state.table[static_cast<std::size_t>(state.length / page_tokens_)];
    if (references_[static_cast<std::size_t>(*shared)] == 1) shared = nullptr;
  }
  while (free_.size() < more + (shared != nullptr ? 1 : 0)) add_slab();
  // Nothing fails from here on.
  if (shared != nullptr) {
    const std::int32_t copy = take_page();
    try {
      copy_page(*shared, copy);
    } catch (...) {  // a device that failed
      drop_page(copy);
      throw;
    }
    drop_page(*shared);
    *shared = copy;
  }
  for (std::size_t i = 0; i < more; ++i) state.table.push_back(take_page());
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

DevicePages KvCache::device_pages(std::int64_t sequence, std::int64_t rows) const {
  const std::int64_t new_rows[] = {0, rows};
  ops::DeviceBundle inputs;
  DevicePages pages(*this, {&sequence, 1}, new_rows, inputs);
  inputs.send(device_);
  pages.read(inputs);
  return pages;
}

void KvCache::write(std::int64_t layer, std::int64_t sequence, const at::Tensor& key, const at::Tensor& value) {
  const Sequence& state = at(sequence);
  const LayerShape shape = layers_[static_cast<std::size_t>(layer)];
  const std::int64_t width = shape.num_key_value_heads * shape.head_dim;
  const std::int64_t rows = key.size(0);
  if (!device_.is_cpu()) {
    return device_pages(sequence, rows).write(layer, key, value);
  }
  for (const bool is_value : {false, true}) {
    const at::Tensor& given = is_value ? value : key;
    const at::Tensor source = (is_kernel_tensor(given) ? given : given.to(at::kCPU, at::kFloat)).contiguous();
    const auto* from = static_cast<const char*>(source.const_data_ptr());
    for (std::int64_t row = 0; row < rows;) {
      const std::int64_t position = state.length + row;
      const std::int64_t inside = position % page_tokens_;
      const std::int64_t run = std::min(rows - row, page_tokens_ - inside);
      char* base = layer_base(layer, state.table[static_cast<std::size_t>(position / page_tokens_)], is_value);
      cpu::kernels().store_cache(
          {.source_type = to_element(source.scalar_type()),
           .cache_type = formats_.of(is_value),
           .source = from + row * width * static_cast<std::int64_t>(source.element_size()),
           .destination = base + static_cast<std::size_t>(inside) * token_bytes(layer, is_value)},
          0, run * width);
      row += run;
    }
  }
}

void KvCache::fill(const Sequence& sequence, std::size_t table, Pages& out) const {
  out.keys.resize(sequence.table.size());
  out.values.resize(sequence.table.size());
  for (std::size_t i = 0; i < sequence.table.size(); ++i) {
    out.keys[i] = page_base(table, sequence.table[i], false);
    out.values[i] = page_base(table, sequence.table[i], true);
  }
}

KvCache::Pages KvCache::pages(std::int64_t layer, std::int64_t sequence) const {
  Pages out;
  fill(at(sequence), table_of(layer), out);
  return out;
}

void KvCache::pages(std::int64_t sequence, std::vector<Pages>& out) const {
  const Sequence& state = at(sequence);
  out.resize(half(false).page_bytes.size());
  for (std::size_t table = 0; table < out.size(); ++table) fill(state, table, out[table]);
}

KvCache::KeyValue KvCache::gather(std::int64_t layer, std::int64_t sequence, std::int64_t length,
                                  at::ScalarType type) const {
  const Sequence& state = at(sequence);
  const LayerShape shape = layers_[static_cast<std::size_t>(layer)];
  const std::int64_t width = shape.num_key_value_heads * shape.head_dim;
  KeyValue out;
  if (!device_.is_cpu()) {
    const ops::GatheredPages all = device_pages(sequence, length - state.length).gather(layer, type);
    return {all.key, all.value};
  }
  for (const bool is_value : {false, true}) {
    at::Tensor whole = empty_tensor({length, shape.num_key_value_heads, shape.head_dim}, at::kFloat);
    auto* const to = whole.mutable_data_ptr<float>();
    for (std::int64_t position = 0; position < length; position += page_tokens_) {
      const std::int64_t run = std::min(page_tokens_, length - position);
      dequantize_row(formats_.of(is_value),
                     layer_base(layer, state.table[static_cast<std::size_t>(position / page_tokens_)], is_value),
                     to + position * width, run * width);
    }
    (is_value ? out.value : out.key) = whole.to(type);
  }
  return out;
}

at::Tensor KvCache::bytes_at(const void* address, std::size_t size) const {
  const auto slab = std::find_if(slabs_.begin(), slabs_.end(), [&](const Slab& one) {
    const auto offset = reinterpret_cast<std::uintptr_t>(address) - reinterpret_cast<std::uintptr_t>(one.base);
    return offset < half(false).slab_bytes + half(true).slab_bytes;
  });
  const auto offset = reinterpret_cast<std::uintptr_t>(address) - reinterpret_cast<std::uintptr_t>(slab->base);
  return slab->memory.narrow(0, static_cast<std::int64_t>(offset), static_cast<std::int64_t>(size));
}

void KvCache::read(const void* from, void* to, std::size_t size) const {
  if (device_.is_cpu()) {
    std::memcpy(to, from, size);
    return;
  }
  const at::Tensor here = bytes_at(from, size).to(at::kCPU);
  std::memcpy(to, here.const_data_ptr(), size);
}

void KvCache::write(const void* from, const void* to, std::size_t size) {
  if (device_.is_cpu()) {
    std::memcpy(const_cast<void*>(to), from, size);
    return;
  }
  const at::Tensor here = empty_tensor({static_cast<std::int64_t>(size)}, at::kByte);
  std::memcpy(here.mutable_data_ptr(), from, size);
  bytes_at(to, size).copy_(here);
}

std::size_t KvCache::bytes() const { return slabs_.size() * (half(false).slab_bytes + half(true).slab_bytes); }

std::size_t KvCache::bytes_per_token() const {
  std::size_t total = 0;
  for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
    for (const bool value : {false, true}) total += token_bytes(static_cast<std::int64_t>(layer), value);
  }
  return total;
}

std::int64_t KvCache::used_pages() const { return static_cast<std::int64_t>(references_.size() - free_.size()); }

void KvCache::add_slab() {
  const auto pages = static_cast<std::size_t>(slab_pages_);
  const auto bytes = static_cast<std::int64_t>(half(false).slab_bytes + half(true).slab_bytes);
  Slab slab{.memory = empty_tensor({bytes}, at::kByte, device_), .base = nullptr};
  slab.base = static_cast<char*>(slab.memory.mutable_data_ptr());
  // All that may fail comes before anything changes. Pages that are dropped find their room in `free_`.
  reserve_more(references_, pages);
  free_.reserve(std::max(references_.capacity(), references_.size() + pages));
  reserve_more(slabs_, 1);
  const auto first = static_cast<std::int32_t>(references_.size());
  references_.resize(references_.size() + pages, 0);
  for (std::int32_t page = slab_pages_ - 1; page >= 0; --page) free_.push_back(first + page);
  slabs_.push_back(std::move(slab));
}

std::int32_t KvCache::take_page() noexcept {
  const std::int32_t page = free_.back();
  free_.pop_back();
  references_[static_cast<std::size_t>(page)] = 1;
  return page;
}

void KvCache::drop_page(std::int32_t page) noexcept {
  if (--references_[static_cast<std::size_t>(page)] == 0) free_.push_back(page);
}

void KvCache::copy_page(std::int32_t from, std::int32_t to) {
  for (std::size_t table = 0; table < page_parts_.size(); ++table) {
    ops::copy_page(page_base(table, from, false), page_base(table, to, false), page_parts_[table],
                   static_cast<std::int64_t>(half(false).page_bytes[table]));
  }
  if (!device_.is_cpu()) return;
  for (std::int64_t layer = 0; layer < static_cast<std::int64_t>(layers_.size()); ++layer) {
    for (const bool value : {false, true}) {
      std::memcpy(layer_base(layer, to, value), layer_base(layer, from, value),
                  half(value).page_bytes[table_of(layer)]);
    }
  }
}

std::size_t KvCache::bytes_of(std::int64_t elements, bool value) const {
  return static_cast<std::size_t>(cpu::cache_bytes(formats_.of(value), elements));
}

std::size_t KvCache::token_bytes(std::int64_t layer, bool value) const {
  const LayerShape shape = layers_[static_cast<std::size_t>(layer)];
  return bytes_of(shape.num_key_value_heads * shape.head_dim, value);
}

}  // namespace powerhouse
