// WordTable: distinct words and how often each was seen. Texts lie in blocks that never move, entries in the order of
// first sight, the look-up is open addressing: memory grows with the distinct words, not with the text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace powerhouse {

class WordTable {
 public:
  struct Entry {
    const char* data;
    std::uint32_t size;
    std::uint32_t tag;  // the upper half of the hash
    std::uint64_t count;
    std::string_view text() const { return {data, size}; }
  };

  /// Error{memory} for a word of 4 GiB or the 2^32nd word.
  void add(std::string_view word, std::uint64_t count = 1);
  void add_all(const WordTable& other);
  const std::vector<Entry>& entries() const noexcept { return entries_; }

 private:
  const char* keep(std::string_view word);
  void grow();

  std::vector<std::unique_ptr<char[]>> blocks_;
  char* free_ = nullptr;
  std::size_t left_ = 0;  // bytes behind free_
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> slots_;  // 1 + index into entries_; 0 is free
};

}  // namespace powerhouse
