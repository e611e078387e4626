// AddedTokens: tokens that are found in the text before anything else looks at it: special and control tokens, and what
// users add. The leftmost match wins, and of those that start together the longest.
//
// Tokens with `normalized` are matched in normalized text, the others before (as in Hugging Face's `tokenizers`). Each
// group is a trie over bytes; its depth is bounded, so that no text costs more than its length times that.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/normalizer.h"

namespace powerhouse {

struct AddedToken {
  std::string content;
  std::int64_t id = -1;
  bool special = false;
  bool single_word = false;  // only where no word character touches it
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // and after it
  bool normalized = false;
  std::string spelling{};  // the content, normalized if `normalized`: how the token decodes; set by add() and finish()
};

class AddedTokens {
 public:
  /// What is done with special tokens in the text where the caller does not want them recognised.
  enum class Unparsed {
    hide_matches,  // a special token that matches stays text, and hides others inside it (tokenizers)
    never_match,   // special tokens do not take part, and the longest token anywhere in the text goes first (llama.cpp)
  };
  enum class Pass { raw, normalized };

  explicit AddedTokens(Unparsed unparsed = Unparsed::hide_matches) : unparsed_(unparsed) {}

  /// Adds a token, or gives the token with this content new flags. Error{format} for contents longer than 4096 bytes.
  void add(AddedToken token);
  /// Builds the tries. Call once, after the last add().
  void finish(const Normalizer& normalizer);

  const AddedToken* find(std::string_view content) const;
  const AddedToken* find(std::int64_t id) const;
  const std::vector<AddedToken>& tokens() const noexcept { return tokens_; }

  /// A stretch of the text: a token, or text between tokens.
  struct Part {
    std::optional<std::int64_t> id;
    std::string_view text;
  };
  /// The parts of `text` in order. `parse_special` false leaves special tokens as text.
  std::vector<Part> split(std::string_view text, Pass pass, bool parse_special) const;
  bool has(Pass pass) const noexcept { return !trie(pass).nodes.empty(); }

 private:
  class Partition;
  struct Node {
    std::int32_t child = -1;    // the first child
    std::int32_t sibling = -1;  // the next child of the same parent
    std::int32_t token = -1;    // the index of the token that ends here
    char byte = 0;
  };
  struct Trie {
    std::vector<Node> nodes;
    std::int32_t roots[256];  // the first node of each first byte
    std::string first_bytes;  // of the tokens, each once
    void insert(std::string_view content, std::int32_t token);
    /// The next place from `at` on where a token may begin, or the end of the text.
    std::size_t next_candidate(std::string_view text, std::size_t at) const;
  };
  struct Match {
    std::int32_t token = -1;
    std::size_t end = 0;
  };

  const Trie& trie(Pass pass) const { return pass == Pass::raw ? raw_ : normalized_; }
  Match longest(const Trie& trie, std::string_view text, std::size_t at, bool parse_special) const;
  void order_by_length();
  std::vector<Part> split_longest_first(std::string_view text, bool parse_special) const;

  Unparsed unparsed_;
  std::vector<AddedToken> tokens_;
  std::unordered_map<std::string, std::size_t> by_content_;
  std::unordered_map<std::int64_t, std::size_t> by_id_;
  std::vector<std::uint32_t> turns_;  // never_match: by index, when the token is looked for
  Trie raw_;
  Trie normalized_;
};

}  // namespace powerhouse
