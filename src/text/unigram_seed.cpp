#include "text/unigram_seed.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "support/thread_team.h"
#include "support/utf8.h"
#include "text/unicode.h"

namespace powerhouse {
namespace {

// Words as code points, each closed by kEnd; a character U+0000 in a word closes it too, as it does in `tokenizers`.
constexpr char32_t kEnd = 0;

struct Suffix {
  std::uint64_t key;    // its first three characters, 21 bits each: most comparisons end here
  std::uint64_t start;  // in the flat text
};

// A substring of several occurrences. `rank` and `length` order substrings as their texts do.
struct Substring {
  std::uint64_t score;  // occurrences times length
  std::uint64_t rank;   // of its first suffix
  std::uint64_t start;  // of one occurrence
  std::uint32_t length;
};

class SubstringFinder {
 public:
  SubstringFinder(const std::u32string& text, std::size_t max_length) : text_(text), max_length_(max_length) {}

  std::vector<Substring> find() {
    sort_by_first_character();
    std::vector<std::size_t> order(buckets_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return size_of(a) > size_of(b); });
    std::vector<std::vector<Substring>> found(buckets_.size());
    claim_items(static_cast<std::int64_t>(order.size()), [&](const auto& claim) {
      for (auto i = static_cast<std::size_t>(claim()); i < order.size(); i = static_cast<std::size_t>(claim())) {
        found[order[i]] = find_in(buckets_[order[i]]);
      }
    });
    std::vector<Substring> all;
    for (const auto& part : found) all.insert(all.end(), part.begin(), part.end());
    return all;
  }

 private:
  using Bucket = std::pair<std::size_t, std::size_t>;  // a range of suffixes_

  std::size_t size_of(std::size_t bucket) const { return buckets_[bucket].second - buckets_[bucket].first; }

  char32_t at(std::uint64_t position) const { return position < text_.size() ? text_[position] : kEnd; }

  std::uint64_t key_at(std::uint64_t position) const {
    std::uint64_t key = 0;
    bool ended = false;
    for (std::uint64_t i = 0; i < 3; ++i) {
      const char32_t character = ended ? kEnd : at(position + i);
      ended = character == kEnd;
      key = key << 21 | character;
    }
    return key;
  }

  void sort_by_first_character() {
    std::map<char32_t, std::size_t> sizes;
    for (const char32_t character : text_) {
      if (character != kEnd) ++sizes[character];
    }
    std::map<char32_t, std::size_t> ends;
    std::size_t total = 0;
    for (const auto& [character, size] : sizes) {
      ends[character] = total;
      buckets_.emplace_back(total, total + size);
      total += size;
    }
    suffixes_.resize(total);
    for (std::size_t i = 0; i < text_.size(); ++i) {
      if (text_[i] != kEnd) suffixes_[ends[text_[i]]++] = {key_at(i), i};
    }
  }

  bool before(const Suffix& a, const Suffix& b) const {
    if (a.key != b.key) return a.key < b.key;
    if ((a.key & 0x1FFFFF) == kEnd) return false;
    for (std::uint64_t i = 3; i <= max_length_; ++i) {
      const char32_t left = at(a.start + i);
      const char32_t right = at(b.start + i);
      if (left != right) return left < right;
      if (left == kEnd) return false;
    }
    return false;
  }

  // Characters that two suffixes share, their end among them, and at most one more than a piece may have.
  std::uint32_t shared(const Suffix& a, const Suffix& b) const {
    for (std::uint32_t i = 0; i <= max_length_; ++i) {
      const char32_t left = at(a.start + i);
      if (left != at(b.start + i)) return i;
      if (left == kEnd) return i + 1;
    }
    return static_cast<std::uint32_t>(max_length_ + 1);
  }

  bool is_piece(std::uint64_t start, std::uint32_t length) const {
    if (length < 2 || length > max_length_) return false;
    return std::find(text_.begin() + static_cast<std::ptrdiff_t>(start),
                     text_.begin() + static_cast<std::ptrdiff_t>(start + length),
                     kEnd) == text_.begin() + static_cast<std::ptrdiff_t>(start + length);
  }

  // The intervals of suffixes that share a prefix longer than their neighbours do (Abouelhoda et al., 2004).
  std::vector<Substring> find_in(const Bucket& bucket) {
    const auto begin = suffixes_.begin() + static_cast<std::ptrdiff_t>(bucket.first);
    const auto end = suffixes_.begin() + static_cast<std::ptrdiff_t>(bucket.second);
    std::sort(begin, end, [this](const Suffix& a, const Suffix& b) { return before(a, b); });
    struct Open {
      std::size_t first;
      std::uint32_t length;
    };
    std::vector<Substring> found;
    std::vector<Open> open;
    for (std::size_t i = bucket.first; i < bucket.second; ++i) {
      const std::uint32_t next = i + 1 < bucket.second ? shared(suffixes_[i], suffixes_[i + 1]) : 0;
      std::size_t first = i;
      while (!open.empty() && open.back().length > next) {
        first = open.back().first;
        const std::uint32_t length = open.back().length;
        open.pop_back();
        const std::uint64_t start = suffixes_[first].start;
        if (is_piece(start, length)) found.push_back({(i + 1 - first) * length, first, start, length});
      }
      if (next > 0 && (open.empty() || open.back().length < next)) open.push_back({first, next});
    }
    return found;
  }

  const std::u32string& text_;
  std::size_t max_length_;
  std::vector<Suffix> suffixes_;
  std::vector<Bucket> buckets_;
};

}  // namespace

std::vector<std::pair<std::string, std::uint64_t>> unigram_seed(const WordCounts& counts, std::size_t max_piece_length,
                                                                std::size_t size) {
  std::u32string flat;
  std::map<char32_t, std::uint64_t> characters;
  for (const WordCount& word : counts.words()) {
    for (std::size_t at = 0; at < word.word.size();) {
      const auto [character, length] = unicode::character_at(word.word, at);
      flat += character;
      if (character != kEnd) characters[character] += word.count;
      at += length;
    }
    flat += kEnd;
  }
  std::vector<Substring> substrings = SubstringFinder(flat, max_piece_length).find();
  std::vector<std::pair<std::uint64_t, char32_t>> alphabet;
  alphabet.reserve(characters.size());
  for (const auto& [character, count] : characters) alphabet.emplace_back(count, character);
  std::sort(alphabet.rbegin(), alphabet.rend());

  std::vector<std::pair<std::string, std::uint64_t>> seed;
  for (const auto& [count, character] : alphabet) {
    seed.emplace_back(std::string(), count);
    append_utf8(seed.back().first, character);
  }
  // At least one substring, though the characters fill the seed.
  const std::size_t room = std::max<std::size_t>(1, size > seed.size() ? size - seed.size() : 0);
  const auto larger = [](const Substring& a, const Substring& b) {
    if (a.score != b.score) return a.score > b.score;
    return a.rank != b.rank ? a.rank > b.rank : a.length > b.length;
  };
  const std::size_t taken = std::min(room, substrings.size());
  std::partial_sort(substrings.begin(), substrings.begin() + static_cast<std::ptrdiff_t>(taken), substrings.end(),
                    larger);
  for (std::size_t i = 0; i < taken; ++i) {
    std::string text;
    for (std::uint32_t k = 0; k < substrings[i].length; ++k) append_utf8(text, flat[substrings[i].start + k]);
    seed.emplace_back(std::move(text), substrings[i].score);
  }
  return seed;
}

}  // namespace powerhouse
