#include "text/word_cache.h"

#include <algorithm>

namespace powerhouse {
namespace {

constexpr std::size_t kFirstSlots = 1024;
constexpr std::uint32_t kInPool = 0xFFFFFFFF;  // a slot's count: ids[0] is the place in the pool, ids[1] the count

std::size_t numbers_for(std::size_t bytes) { return (bytes + sizeof(std::int32_t) - 1) / sizeof(std::int32_t); }

}  // namespace

WordCache::WordCache()
    : seed_low_(hashing::of(1, hashing::key())), seed_high_(hashing::of(2, hashing::key())), slots_(kFirstSlots) {}

std::span<const std::int32_t> WordCache::ids_of(const Slot& slot, std::string_view word) const {
  const std::int32_t* ids = pool_.data() + slot.ids[0];
  const auto count = static_cast<std::size_t>(slot.ids[1]);
  if (word.size() > kShort && std::memcmp(ids + count, word.data(), word.size()) != 0) return {};
  return {ids, count};
}

void WordCache::add(std::string_view word, std::span<const std::int64_t> ids) {
  const bool is_long = word.size() > kShort;
  if (word.size() > kLongest || ids.size() > kLongest) return;
  const bool pooled = is_long || ids.size() > kSlotIds;
  const std::size_t text = is_long ? numbers_for(word.size()) : 0;
  make_room(pooled ? ids.size() + text : 0);
  Slot slot{.key = key_of(word), .count = static_cast<std::uint32_t>(ids.size())};
  const auto narrow = [](std::int64_t id) { return static_cast<std::int32_t>(id); };
  if (pooled) {
    slot.count = kInPool;
    slot.ids[0] = static_cast<std::int32_t>(pool_.size());
    slot.ids[1] = static_cast<std::int32_t>(ids.size());
    std::transform(ids.begin(), ids.end(), std::back_inserter(pool_), narrow);
    pool_.resize(pool_.size() + text);
    if (is_long) std::memcpy(pool_.data() + (pool_.size() - text), word.data(), word.size());
  } else {
    std::transform(ids.begin(), ids.end(), slot.ids, narrow);
  }
  place(slot);
}

void WordCache::place(const Slot& slot) {
  std::size_t at = hash(slot.key) & (slots_.size() - 1);
  while (slots_[at].key.high != 0) at = (at + 1) & (slots_.size() - 1);
  slots_[at] = slot;
  ++count_;
}

// For one more word with so much in the pool.
void WordCache::make_room(std::size_t pool) {
  const bool full = 2 * (count_ + 1) > slots_.size();
  if (pool_.size() + pool > kMostPool || (full && slots_.size() == kMostSlots)) {
    std::fill(slots_.begin(), slots_.end(), Slot{});
    pool_.clear();
    count_ = 0;
  } else if (full) {
    std::vector<Slot> old(2 * slots_.size());
    old.swap(slots_);
    count_ = 0;
    for (const Slot& slot : old) {
      if (slot.key.high != 0) place(slot);
    }
  }
}

}  // namespace powerhouse
