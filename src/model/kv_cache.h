// KvCache: keys (after RoPE) and values of many sequences, in reference-counted pages.
//
// A page holds `page_tokens` tokens of every layer; a sequence is a table of pages and a length. Forked sequences share
// pages until one writes: `reserve` then copies the page that both would write to. Memory comes in slabs of pages, so
// that growing moves nothing. In a page the keys of all layers lie one behind the other, and behind them the values,
// [page_tokens, num_key_value_heads, head_dim] of each layer, as float types or as ggml's blocks of 32 elements of a
// head: so one table of a sequence's pages serves all layers.
//
// Where memory runs out, what was asked for leaves everything as it was.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <vector>

#include "kernels/common/blocks.h"

namespace powerhouse {

class KvCache {
 public:
  struct LayerShape {
    std::int64_t num_key_value_heads, head_dim;
  };

  /// Error{unsupported} where `format` has blocks and a head is no whole number of them.
  KvCache(std::vector<LayerShape> layers, BlockFormat format, std::int64_t page_tokens);

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

  /// Where keys and values of the sequence's pages begin, reserved pages included.
  struct Pages {
    std::vector<const void*> keys, values;
  };
  Pages pages(std::int64_t sequence) const;
  void pages(std::int64_t sequence, Pages& out) const;
  /// Elements from there to those of a layer.
  std::int64_t page_offset(std::int64_t layer) const { return offsets_[static_cast<std::size_t>(layer)]; }

  /// The first `length` tokens as contiguous tensors [length, num_key_value_heads, head_dim] of `type`.
  struct KeyValue {
    at::Tensor key, value;
  };
  KeyValue gather(std::int64_t layer, std::int64_t sequence, std::int64_t length, at::ScalarType type) const;

  BlockFormat format() const { return format_; }
  /// Bytes of one token's keys (or values) in a layer.
  std::size_t token_bytes(std::int64_t layer) const;
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

  // Pages that come at once.
  struct Slab {
    at::Tensor memory;
    char* base;  // of its bytes: a tensor takes long to say
  };

  Sequence& at(std::int64_t sequence);
  const Sequence& at(std::int64_t sequence) const;
  void add_slab();
  std::int32_t take_page() noexcept;  // one that is free
  void drop_page(std::int32_t page) noexcept;
  std::size_t bytes_of(std::int64_t elements) const;
  char* page_base(std::int32_t page, bool value) const {
    const Slab& slab = slabs_[static_cast<std::size_t>(page / slab_pages_)];
    return slab.base + static_cast<std::size_t>(2 * (page % slab_pages_) + (value ? 1 : 0)) * half_page_;
  }
  char* layer_base(std::int64_t layer, std::int32_t page, bool value) const {
    return page_base(page, value) + bytes_of(page_offset(layer));
  }
  std::int64_t pages_for(std::int64_t tokens) const { return (tokens + page_tokens_ - 1) / page_tokens_; }

  std::vector<LayerShape> layers_;
  BlockFormat format_;
  std::int64_t page_tokens_;
  std::int32_t slab_pages_;
  std::vector<std::int64_t> offsets_;  // of each layer, in elements
  std::size_t half_page_ = 0;          // bytes of a page's keys, and of its values
  std::map<std::int64_t, Sequence> sequences_;
  std::int64_t next_sequence_ = 0;
  std::vector<std::int32_t> references_;  // of each page
  std::vector<std::int32_t> free_;        // with room for all pages
  std::vector<Slab> slabs_;
};

}  // namespace powerhouse
