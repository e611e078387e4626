// KvCache: keys (after RoPE) and values of many sequences, in reference-counted pages.
//
// A page holds `page_tokens` tokens of every layer; a sequence is a table of pages and a length. Forked sequences share
// pages until one writes: `reserve` then copies the page that both would write to. Memory comes in slabs of pages, so
// that growing moves nothing. K and V lie apart: [page_tokens, num_key_value_heads, head_dim] each, as float types or
// as ggml's blocks of 32 elements of a head, each of its own type. In a slab a layer's pages follow each other, since
// attention reads them one after the other: with the layers of a page together, decoding behind 1900 tokens of SmolLM2
// was 13 % slower. Layers of one width lie equally far from the first of them, so that one table of addresses serves
// them all.
//
// On a device slabs are its memory, addresses its own, and what reads and writes pages are kernels (device_pages.h).
//
// Where memory runs out, what was asked for leaves everything as it was.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <vector>

#include "kernels/common/blocks.h"

namespace powerhouse {

class DevicePages;  // model/device_pages.h

class KvCache {
 public:
  struct LayerShape {
    std::int64_t num_key_value_heads, head_dim;
  };

  /// Of keys and of values: cpu::is_cache_type.
  struct Formats {
    Formats(BlockFormat both) : keys(both), values(both) {}
    Formats(BlockFormat of_keys, BlockFormat of_values) : keys(of_keys), values(of_values) {}
    BlockFormat of(bool value) const { return value ? values : keys; }
    bool operator==(const Formats&) const = default;

    BlockFormat keys, values;
  };

  /// Error{unsupported} where a format has blocks and a head is no whole number of them, and for formats that a
  /// device's kernels don't know.
  KvCache(std::vector<LayerShape> layers, Formats formats, std::int64_t page_tokens,
          const at::Device& device = at::kCPU);

  std::int64_t create();
  std::int64_t fork(std::int64_t sequence);
  void truncate(std::int64_t sequence, std::int64_t length);
  void remove(std::int64_t sequence);
  std::int64_t length(std::int64_t sequence) const;
  /// The two take each other's pages and lengths.
  void swap(std::int64_t a, std::int64_t b);

  /// Makes room for `tokens` more, in pages of the sequence's own. The length stays until `commit`; `rollback` gives
  /// the room back.
  void reserve(std::int64_t sequence, std::int64_t tokens);
  void commit(std::int64_t sequence, std::int64_t tokens);
  void rollback(std::int64_t sequence);

  /// Writes rows of key and value [rows, num_key_value_heads, head_dim] behind the sequence's length, into reserved
  /// room.
  void write(std::int64_t layer, std::int64_t sequence, const at::Tensor& key, const at::Tensor& value);

  /// Addresses of keys and values of the sequence's pages, reserved pages included. A layer's part of each begins
  /// page_offset(layer) elements behind.
  struct Pages {
    std::vector<const void*> keys, values;
  };
  Pages pages(std::int64_t layer, std::int64_t sequence) const;
  /// Those of all layers; a layer's are out[table_of(layer)].
  void pages(std::int64_t sequence, std::vector<Pages>& out) const;
  /// How many there are of each.
  std::int64_t page_count(std::int64_t sequence) const { return std::ssize(at(sequence).table); }
  std::size_t table_of(std::int64_t layer) const { return places_[static_cast<std::size_t>(layer)].table; }
  std::int64_t page_offset(std::int64_t layer) const { return places_[static_cast<std::size_t>(layer)].offset; }

  /// Bytes at an address that `pages` tells, with an offset: read to the host, or written from it.
  void read(const void* from, void* to, std::size_t size) const;
  void write(const void* from, const void* to, std::size_t size);

  /// The first `length` tokens as contiguous tensors [length, num_key_value_heads, head_dim] of `type`.
  struct KeyValue {
    at::Tensor key, value;
  };
  KeyValue gather(std::int64_t layer, std::int64_t sequence, std::int64_t length, at::ScalarType type) const;

  const Formats& formats() const { return formats_; }
  const at::Device& device() const { return device_; }
  /// Bytes of one token's keys, or values, in a layer.
  std::size_t token_bytes(std::int64_t layer, bool value) const;
  const std::vector<LayerShape>& layers() const { return layers_; }
  std::int64_t page_tokens() const { return page_tokens_; }
  std::size_t bytes() const;
  /// Of keys and values of one token, in all layers.
  std::size_t bytes_per_token() const;
  /// Pages in use by any sequence.
  std::int64_t used_pages() const;

 private:
  struct Sequence {
    std::vector<std::int32_t> table;
    std::int64_t length = 0;
  };

  // Keys, or values: bytes of a layer's part of a page, for each table, and of a slab.
  struct Half {
    std::vector<std::size_t> page_bytes{};
    std::size_t slab_bytes = 0;
  };
  // Pages that come at once: keys of layer after layer, then values.
  struct Slab {
    at::Tensor memory;
    char* base;  // of its bytes: a tensor takes long to say
  };
  // Of a layer's part of a slab: where it begins, and which table has the addresses of pages of its width.
  struct Place {
    std::int64_t offset;  // in elements
    std::size_t table;
  };

  Sequence& at(std::int64_t sequence);
  const Sequence& at(std::int64_t sequence) const;
  void fill(const Sequence& sequence, std::size_t table, Pages& out) const;
  void check_device_heads() const;
  at::Tensor bytes_at(const void* address, std::size_t size) const;          // on the device
  DevicePages device_pages(std::int64_t sequence, std::int64_t rows) const;  // of one sequence, on the device
  void find_page_parts();
  void add_slab();
  std::int32_t take_page() noexcept;  // one that is free
  void drop_page(std::int32_t page) noexcept;
  void copy_page(std::int32_t from, std::int32_t to);
  std::size_t bytes_of(std::int64_t elements, bool value) const;
  const Half& half(bool value) const { return halves_[value ? 1 : 0]; }
  char* page_base(std::size_t table, std::int32_t page, bool value) const {
    const Slab& slab = slabs_[static_cast<std::size_t>(page / slab_pages_)];
    return slab.base + static_cast<std::size_t>(page % slab_pages_) * half(value).page_bytes[table] +
           (value ? half(false).slab_bytes : 0);
  }
  char* layer_base(std::int64_t layer, std::int32_t page, bool value) const {
    return page_base(table_of(layer), page, value) + bytes_of(page_offset(layer), value);
  }
  std::int64_t pages_for(std::int64_t tokens) const { return (tokens + page_tokens_ - 1) / page_tokens_; }

  std::vector<LayerShape> layers_;
  Formats formats_;
  std::int64_t page_tokens_;
  at::Device device_;
  std::vector<at::Tensor> page_parts_{};  // of each table, on a device: where its layers' parts of a page lie
  std::int32_t slab_pages_;
  std::vector<Place> places_;  // of each layer
  Half halves_[2];
  std::map<std::int64_t, Sequence> sequences_;
  std::int64_t next_sequence_ = 0;
  std::vector<std::int32_t> references_;  // of each page
  std::vector<std::int32_t> free_;        // with room for all pages
  std::vector<Slab> slabs_;
};

}  // namespace powerhouse
