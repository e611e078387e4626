// TokenTable: what a vocabulary's tokens say, as masks need it. Made once for each tokenizer that is in use.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "constraints/token_trie.h"
#include "powerhouse/tokenizer.h"

namespace powerhouse::constraints {

/// Most tokens are short pieces of plain ASCII, and where a text is free (inside a string, in any words) all of them
/// are allowed at once: they are a mask of their own, and a tree apart.
class TokenTable {
 public:
  static constexpr std::size_t kPlainLength = 16;
  /// Printable ASCII but for the quotation mark and the backslash, which end or change what is free.
  static bool is_plain(unsigned char byte) { return byte >= 0x20 && byte < 0x7F && byte != '"' && byte != '\\'; }

  explicit TokenTable(const Tokenizer& tokenizer);
  /// That of a tokenizer, shared by all who ask while one has it.
  static std::shared_ptr<const TokenTable> of(const Tokenizer& tokenizer);

  std::size_t size() const { return texts_.size(); }
  /// What a token says; empty where nothing. `first`: where no other came before.
  const std::string& text(std::int64_t token, bool first) const {
    return (first && first_trie ? first_texts_ : texts_)[static_cast<std::size_t>(token)];
  }
  std::vector<std::uint64_t> no_tokens() const { return std::vector<std::uint64_t>((texts_.size() + 63) / 64, 0); }

 private:
  Tokenizer tokenizer_;  // what of() knows the table by
  std::vector<std::string> texts_, first_texts_;

 public:
  std::vector<std::uint64_t> plain_bits;  // plain tokens of up to kPlainLength bytes
  TokenTrie plain, others;
  std::optional<TokenTrie> first_trie;  // of all, where the first token says something else
};

}  // namespace powerhouse::constraints
