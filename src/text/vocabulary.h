// Vocabulary: tokens as spelled in the file, by id and by text.
//
// All texts lie in one arena; the look-up is a table of ids (open addressing), so that 50,000 tokens load in about two
// milliseconds. Ids may leave holes, but only as many as the number of tokens warrants.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace powerhouse {

class Vocabulary {
 public:
  /// Makes room for `tokens` more tokens with `bytes` of text in all.
  void reserve(std::size_t tokens, std::size_t bytes);

  /// Adds a token. Error{format} naming it for a negative or absurdly large id, an id that is taken, or a text that is
  /// there already. An empty text has an id but is never found.
  void add(std::string_view text, std::int64_t id);

  /// The number of ids: one more than the largest.
  std::size_t size() const noexcept { return entries_.size(); }
  /// The number of tokens; less than size() where ids leave holes.
  std::size_t count() const noexcept { return count_; }

  std::optional<std::int32_t> find(std::string_view text) const;

  // The same in steps, for a caller with many texts at hand: the memory that a step prefetches is what the next one
  // touches, so that the misses of a batch overlap. Loading 280,000 merges takes a third of the time so.
  std::uint64_t hash(std::string_view text) const;
  void prefetch_slot(std::uint64_t hash) const;
  void prefetch_entry(std::uint64_t hash) const;
  void prefetch_text(std::uint64_t hash) const;
  std::optional<std::int32_t> find(std::string_view text, std::uint64_t hash) const;

  bool contains(std::int64_t id) const noexcept;
  /// The text of an id that contains() knows.
  std::string_view text(std::int64_t id) const { return text_of(entries_[static_cast<std::size_t>(id)]); }

 private:
  struct Entry {
    std::uint32_t length = kHole;
    std::uint32_t start = 0;
  };
  struct Slot {
    std::uint32_t tag = 0;
    std::int32_t id = -1;
  };
  static constexpr std::uint32_t kHole = 0xFFFFFFFF;

  std::string_view text_of(const Entry& entry) const { return {arena_.data() + entry.start, entry.length}; }
  void rebuild(std::size_t slots);
  std::size_t probe(std::string_view text, std::uint64_t hash) const;

  std::string arena_;
  std::vector<Entry> entries_;
  std::vector<Slot> slots_;
  std::size_t count_ = 0;
  std::size_t expected_ = 0;  // as reserve() said; ids are held to it
};

}  // namespace powerhouse
