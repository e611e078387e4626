#include "constraints/token_table.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "text/token_texts.h"

namespace powerhouse::constraints {
namespace {

using Tokens = std::vector<TokenTrie::Token>;

Tokens numbered(const std::vector<std::string>& texts) {
  Tokens tokens;
  for (std::size_t id = 0; id < texts.size(); ++id) {
    if (!texts[id].empty()) tokens.emplace_back(texts[id], static_cast<std::int32_t>(id));
  }
  return tokens;
}

}  // namespace

TokenTable::TokenTable(const Tokenizer& tokenizer) : tokenizer_(tokenizer), plain(Tokens()), others(Tokens()) {
  TokenTexts found = token_texts(tokenizer);
  texts_ = std::move(found.texts);
  first_texts_ = std::move(found.first_texts);
  if (!first_texts_.empty()) first_trie.emplace(numbered(first_texts_));
  plain_bits = no_tokens();
  Tokens plain_tokens, other_tokens;
  for (auto& token : numbered(texts_)) {
    const std::string& text = token.first;
    const bool is_one = text.size() <= kPlainLength && std::all_of(text.begin(), text.end(), [](char byte) {
                          return is_plain(static_cast<unsigned char>(byte));
                        });
    if (is_one) plain_bits[static_cast<std::size_t>(token.second) / 64] |= std::uint64_t{1} << (token.second % 64);
    (is_one ? plain_tokens : other_tokens).push_back(std::move(token));
  }
  plain = TokenTrie(std::move(plain_tokens));
  others = TokenTrie(std::move(other_tokens));
}

std::shared_ptr<const TokenTable> TokenTable::of(const Tokenizer& tokenizer) {
  static std::mutex mutex;
  static std::map<const Tokenizer::Impl*, std::weak_ptr<const TokenTable>> tables;
  const std::lock_guard<std::mutex> lock(mutex);
  std::erase_if(tables, [](const auto& entry) { return entry.second.expired(); });
  auto& entry = tables[&tokenizer.impl()];
  std::shared_ptr<const TokenTable> table = entry.lock();
  if (!table) entry = table = std::make_shared<TokenTable>(tokenizer);
  return table;
}

}  // namespace powerhouse::constraints
