#include "text/vocabulary.h"

#include <algorithm>
#include <bit>
#include <random>

#include "powerhouse/error.h"
#include "text/hashing.h"

namespace powerhouse {

std::uint64_t hashing::key() {
  static const std::uint64_t drawn = [] {
    std::random_device device;
    return std::uint64_t{device()} << 32 | device();
  }();
  return drawn;
}

namespace {

// Real vocabularies hold few holes; a file of a few bytes that names id 2^31 is refused, not given 2^31 entries.
constexpr std::int64_t kFreeIds = 1 << 16;
constexpr std::int64_t kIdsPerToken = 16;

std::string shortened(std::string_view text) {
  constexpr std::size_t kShown = 60;
  return text.size() <= kShown ? std::string(text) : std::string(text.substr(0, kShown)) + "...";
}

}  // namespace

void Vocabulary::reserve(std::size_t tokens, std::size_t bytes) {
  expected_ = count_ + tokens;
  arena_.reserve(arena_.size() + bytes);
  entries_.reserve(entries_.size() + tokens);
  const std::size_t wanted = std::bit_ceil(2 * (count_ + tokens) + 1);
  if (wanted > slots_.size()) rebuild(wanted);
}

void Vocabulary::rebuild(std::size_t slots) {
  slots_.assign(slots, {});
  for (std::size_t id = 0; id < entries_.size(); ++id) {
    if (entries_[id].length == kHole || entries_[id].length == 0) continue;
    const std::uint64_t hash = hashing::of(text_of(entries_[id]), hashing::key());
    slots_[probe(text_of(entries_[id]), hash)] = {static_cast<std::uint32_t>(hash >> 32),
                                                  static_cast<std::int32_t>(id)};
  }
}

std::size_t Vocabulary::probe(std::string_view text, std::uint64_t hash) const {
  const auto tag = static_cast<std::uint32_t>(hash >> 32);
  std::size_t at = hash & (slots_.size() - 1);
  while (slots_[at].id >= 0) {
    if (slots_[at].tag == tag && text_of(entries_[static_cast<std::size_t>(slots_[at].id)]) == text) break;
    at = (at + 1) & (slots_.size() - 1);
  }
  return at;
}

void Vocabulary::add(std::string_view text, std::int64_t id) {
  const auto refuse = [&](std::string_view message) {
    throw Error(ErrorKind::format, message,
                {.field = "token \"" + shortened(text) + "\"", .found = "id " + std::to_string(id)});
  };
  if (id < 0) refuse("a token id is negative");
  if (id >= kFreeIds + kIdsPerToken * static_cast<std::int64_t>(std::max(count_, expected_))) {
    refuse("a token id is far beyond the number of tokens");
  }
  if (contains(id)) refuse("two tokens have one id");
  if (text.size() >= kHole - arena_.size()) refuse("the tokens are longer than 4 GiB in all");
  if (2 * (count_ + 1) > slots_.size()) rebuild(std::max<std::size_t>(64, 2 * slots_.size()));
  const auto at = static_cast<std::size_t>(id);
  if (at >= entries_.size()) entries_.resize(at + 1);
  if (!text.empty()) {
    const std::uint64_t hash = hashing::of(text, hashing::key());
    Slot& slot = slots_[probe(text, hash)];
    if (slot.id >= 0) refuse("a token is there twice");
    slot = {static_cast<std::uint32_t>(hash >> 32), static_cast<std::int32_t>(id)};
  }
  entries_[at] = {static_cast<std::uint32_t>(text.size()), static_cast<std::uint32_t>(arena_.size())};
  arena_.append(text);
  ++count_;
}

std::uint64_t Vocabulary::hash(std::string_view text) const { return hashing::of(text, hashing::key()); }

void Vocabulary::prefetch_slot(std::uint64_t hash) const {
  if (!slots_.empty()) __builtin_prefetch(&slots_[hash & (slots_.size() - 1)]);
}

void Vocabulary::prefetch_entry(std::uint64_t hash) const {
  if (slots_.empty()) return;
  const Slot& slot = slots_[hash & (slots_.size() - 1)];
  if (slot.id >= 0) __builtin_prefetch(&entries_[static_cast<std::size_t>(slot.id)]);
}

void Vocabulary::prefetch_text(std::uint64_t hash) const {
  if (slots_.empty()) return;
  const Slot& slot = slots_[hash & (slots_.size() - 1)];
  if (slot.id >= 0) __builtin_prefetch(arena_.data() + entries_[static_cast<std::size_t>(slot.id)].start);
}

std::optional<std::int32_t> Vocabulary::find(std::string_view text) const { return find(text, hash(text)); }

std::optional<std::int32_t> Vocabulary::find(std::string_view text, std::uint64_t hash) const {
  if (slots_.empty() || text.empty()) return std::nullopt;
  const Slot& slot = slots_[probe(text, hash)];
  if (slot.id < 0) return std::nullopt;
  return slot.id;
}

bool Vocabulary::contains(std::int64_t id) const noexcept {
  return id >= 0 && static_cast<std::uint64_t>(id) < entries_.size() &&
         entries_[static_cast<std::size_t>(id)].length != kHole;
}

}  // namespace powerhouse
