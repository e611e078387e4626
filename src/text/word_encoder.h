// WordEncoder: what one thread needs to turn texts into ids: a cache of words, a buffer that the ids of a text grow in,
// room for one word. WordEncoders: those of a tokenizer, kept from call to call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <vector>

#include "text/bpe.h"
#include "text/word_cache.h"
#include "text/word_scanner.h"

namespace powerhouse {

class WordEncoder {
 public:
  /// Adds an id to those of the text.
  void add(std::int64_t id) {
    reserve(1);
    ids_[size_++] = id;
  }
  /// Adds the ids of the words of a text.
  void add_words(const WordRule& rule, std::string_view text, const Bpe& bpe);
  /// Adds the ids of one piece of text: `encode(piece, ids)` appends them where the piece is new.
  template <typename Encode>
  void add_piece(std::string_view piece, const Encode& encode) {
    if (piece.empty()) return;
    if (piece.size() > WordCache::kLongest) return add_new(piece, encode);
    const WordCache::Key key = cache_.key_of(piece);
    const WordCache::Slot* slot = cache_.find(key, cache_.hash(key));
    if (slot != nullptr && slot->holds_ids()) {
      reserve(WordCache::kSlotIds);
      size_ += put(*slot, ids_.get() + size_);
    } else {
      add_rare(slot, piece, encode);
    }
  }
  /// Adds what `encode(ids)` appends, which no later text will be looked up for.
  template <typename Encode>
  void add_text(const Encode& encode) {
    word_.clear();
    encode(word_);
    append(word_);
    if (word_.capacity() > kKeptIds) word_ = {};
  }
  /// The ids so far, which are then forgotten.
  std::vector<std::int64_t> take();
  /// Forgets them.
  void clear() { size_ = 0; }

 private:
  void reserve(std::size_t more) {
    if (capacity_ - size_ < more) grow(more);
  }
  void grow(std::size_t more);
  void append(std::span<const std::int64_t> ids);
  // Writes as many as a slot holds and says how many of them stand.
  static std::size_t put(const WordCache::Slot& slot, std::int64_t* out) {
    for (std::size_t i = 0; i < WordCache::kSlotIds; ++i) out[i] = slot.ids[i];
    return slot.count;
  }
  template <typename Encode>
  std::size_t add_group(std::string_view text, std::size_t begin, std::span<const std::size_t> ends,
                        std::size_t wide_end, const Encode& encode);
  // A piece that is new (`slot` is null), long, or of many ids.
  template <typename Encode>
  void add_rare(const WordCache::Slot* slot, std::string_view piece, const Encode& encode) {
    if (slot == nullptr) return add_new(piece, encode);
    const std::span<const std::int32_t> ids = cache_.ids_of(*slot, piece);
    if (ids.data() == nullptr) return add_new(piece, encode);
    reserve(ids.size());
    std::copy(ids.begin(), ids.end(), ids_.get() + size_);
    size_ += ids.size();
  }
  template <typename Encode>
  void add_new(std::string_view piece, const Encode& encode) {
    word_.clear();
    encode(piece, word_);
    append(word_);
    cache_.add(piece, word_);
    if (word_.capacity() > kKeptIds) word_ = {};
  }

  static constexpr std::size_t kKeptIds = std::size_t{1} << 18;  // what a giant text needed beyond is given back

  WordCache cache_;
  std::unique_ptr<std::int64_t[]> ids_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
  std::vector<std::int64_t> word_;
};

/// Lends encoders to threads; a thread that asks with the number it had before finds the words it saw before.
class WordEncoders {
 public:
  class Lease {
   public:
    Lease(WordEncoders& owner, std::size_t number);
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    WordEncoder& operator*() const { return *encoder_; }
    WordEncoder* operator->() const { return encoder_.get(); }

   private:
    WordEncoders& owner_;
    std::size_t number_;
    std::unique_ptr<WordEncoder> encoder_;
  };

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<WordEncoder>> idle_;  // by number; null where one is lent
};

}  // namespace powerhouse
