// WordCache: words seen before and their ids, in bounded memory. Text is made of words that come again and again; most
// of encoding is then a look-up here.
//
// Words of up to 15 bytes are two numbers, their length among them, and lie with up to three ids in a slot of 32 bytes.
// Longer words, up to 255 bytes, go by their hash; their texts, and lists of more ids, lie in a pool. Slots are found
// by open addressing: the commonest words come first and so lie where they are looked for first. Table and pool grow
// with the words seen up to a fixed size (8 MiB and 4 MiB); a cache that is full starts anew, so that endless distinct
// words take no more. It belongs to one model, and to one thread at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "text/hashing.h"

namespace powerhouse {

namespace detail {
// By size: the bytes that a word has in the eight after the first `skipped`.
constexpr std::array<std::uint64_t, 16> make_byte_masks(std::size_t skipped) {
  std::array<std::uint64_t, 16> masks{};
  for (std::size_t size = 0; size < 16; ++size) {
    const std::size_t bytes = size > skipped ? size - skipped : 0;
    masks[size] = bytes >= 8 ? ~std::uint64_t{0} : (std::uint64_t{1} << 8 * bytes) - 1;
  }
  return masks;
}
}  // namespace detail

class WordCache {
 public:
  static constexpr std::size_t kShort = 15;     // bytes of a word that is its own key
  static constexpr std::size_t kSlotIds = 3;    // ids that a slot holds
  static constexpr std::size_t kLongest = 255;  // bytes of the longest word that is kept
  static constexpr std::size_t kMostSlots = std::size_t{1} << 18;
  static constexpr std::size_t kMostPool = std::size_t{1} << 20;  // of 4 bytes

  /// A word as two numbers; the highest byte is its size. Of words longer than kShort the rest is a hash.
  struct Key {
    std::uint64_t low = 0, high = 0;
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct Slot {
    Key key;  // of no word: high is 0
    std::int32_t ids[kSlotIds] = {};
    std::uint32_t count = 0;

    /// Whether `ids` and `count` are the word's; else ask ids_of().
    bool holds_ids() const { return count <= kSlotIds; }
  };

  WordCache();

  /// The key of the `size` <= kShort bytes at `at`, of which 16 may be read.
  static Key key_of_16(const char* at, std::size_t size) {
    Key key;
    std::memcpy(&key, at, sizeof key);
    key.low &= kLowMasks[size];
    key.high = (key.high & kHighMasks[size]) | std::uint64_t{size} << 56;
    return key;
  }
  /// The key of any word of 1 to kLongest bytes.
  Key key_of(std::string_view word) const {
    if (word.size() > kShort) return {hashing::of(word, seed_low_), std::uint64_t{word.size()} << 56};
    char padded[16] = {};
    std::memcpy(padded, word.data(), word.size());
    return key_of_16(padded, word.size());
  }

  std::uint64_t hash(const Key& key) const { return hashing::mix(key.low ^ seed_low_, key.high ^ seed_high_); }
  /// Begins to fetch the slot of a word that find() will be asked for.
  void prefetch(std::uint64_t hash) const { __builtin_prefetch(&slots_[hash & (slots_.size() - 1)]); }
  /// The slot of the word with this key and its hash, or null. Valid until the next add().
  const Slot* find(const Key& key, std::uint64_t hash) const {
    for (std::size_t at = hash & (slots_.size() - 1);; at = (at + 1) & (slots_.size() - 1)) {
      const Slot& slot = slots_[at];
      if (slot.key == key) return &slot;
      if (slot.key.high == 0) return nullptr;
    }
  }
  /// The ids of a word whose slot does not hold them; null data where the slot is another word's of the same hash.
  std::span<const std::int32_t> ids_of(const Slot& slot, std::string_view word) const;

  /// Keeps a word that is not there; nothing where it is too long or has absurdly many ids.
  void add(std::string_view word, std::span<const std::int64_t> ids);

 private:
  static constexpr std::array<std::uint64_t, 16> kLowMasks = detail::make_byte_masks(0);
  static constexpr std::array<std::uint64_t, 16> kHighMasks = detail::make_byte_masks(8);

  void make_room(std::size_t pool);
  void place(const Slot& slot);

  std::uint64_t seed_low_, seed_high_;
  std::vector<Slot> slots_;
  std::size_t count_ = 0;           // slots taken, at most half of them
  std::vector<std::int32_t> pool_;  // ids, then the text where the word is longer than kShort
};

}  // namespace powerhouse
