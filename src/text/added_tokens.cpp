#include "text/added_tokens.h"

#include <algorithm>

#include "powerhouse/error.h"
#include "text/unicode.h"

namespace powerhouse {
namespace {

constexpr std::size_t kMaxContent = 4096;

bool word_before(std::string_view text, std::size_t end) {
  return end > 0 && unicode::is_word(unicode::character_at(text, unicode::previous_boundary(text, end)).code_point);
}
bool word_at(std::string_view text, std::size_t at) {
  return at < text.size() && unicode::is_word(unicode::character_at(text, at).code_point);
}

std::size_t skip_spaces_back(std::string_view text, std::size_t end, std::size_t limit) {
  while (end > limit) {
    const std::size_t before = unicode::previous_boundary(text, end);
    if (!unicode::is_space(unicode::character_at(text, before).code_point)) break;
    end = before;
  }
  return std::max(end, limit);
}
std::size_t skip_spaces(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    const auto [code_point, length] = unicode::character_at(text, at);
    if (!unicode::is_space(code_point)) break;
    at += length;
  }
  return at;
}

}  // namespace

void AddedTokens::add(AddedToken token) {
  if (token.content.size() > kMaxContent) {
    throw Error(
        ErrorKind::format, "an added token is too long",
        {.field = "added_tokens", .expected = "at most 4096 bytes", .found = std::to_string(token.content.size())});
  }
  token.spelling = token.content;
  const auto [at, fresh] = by_content_.try_emplace(token.content, tokens_.size());
  if (fresh) {
    by_id_.emplace(token.id, tokens_.size());
    tokens_.push_back(std::move(token));
  } else {
    tokens_[at->second] = std::move(token);
  }
}

void AddedTokens::Trie::insert(std::string_view content, std::int32_t token) {
  if (content.empty()) return;
  if (nodes.empty()) std::fill(std::begin(roots), std::end(roots), -1);
  std::int32_t* link = &roots[static_cast<unsigned char>(content[0])];
  if (*link < 0) first_bytes += content[0];
  for (std::size_t i = 0;; ++i) {
    while (*link >= 0 && nodes[static_cast<std::size_t>(*link)].byte != content[i]) {
      link = &nodes[static_cast<std::size_t>(*link)].sibling;
    }
    auto at = static_cast<std::size_t>(*link);
    if (*link < 0) {
      at = nodes.size();
      *link = static_cast<std::int32_t>(at);
      nodes.push_back({.byte = content[i]});
    }
    if (i + 1 == content.size()) {
      if (nodes[at].token < 0) nodes[at].token = token;
      return;
    }
    link = &nodes[at].child;
  }
}

std::size_t AddedTokens::Trie::next_candidate(std::string_view text, std::size_t at) const {
  if (first_bytes.size() == 1) return std::min(text.find(first_bytes[0], at), text.size());  // by vectors
  while (at < text.size() && roots[static_cast<unsigned char>(text[at])] < 0) ++at;
  return at;
}

void AddedTokens::finish(const Normalizer& normalizer) {
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    AddedToken& token = tokens_[i];
    std::string storage;
    if (token.normalized) token.spelling = normalizer.apply(token.content, storage);
    (token.normalized ? normalized_ : raw_).insert(token.spelling, static_cast<std::int32_t>(i));
  }
  if (unparsed_ == Unparsed::never_match) order_by_length();
}

const AddedToken* AddedTokens::find(std::string_view content) const {
  const auto found = by_content_.find(std::string(content));
  return found == by_content_.end() ? nullptr : &tokens_[found->second];
}

const AddedToken* AddedTokens::find(std::int64_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &tokens_[found->second];
}

AddedTokens::Match AddedTokens::longest(const Trie& trie, std::string_view text, std::size_t at,
                                        bool parse_special) const {
  Match best;
  const bool specials = parse_special || unparsed_ == Unparsed::hide_matches;
  std::int32_t node = trie.roots[static_cast<unsigned char>(text[at])];
  while (node >= 0) {
    const Node& here = trie.nodes[static_cast<std::size_t>(node)];
    if (here.byte != text[at]) {
      node = here.sibling;
      continue;
    }
    ++at;
    if (here.token >= 0 && (specials || !tokens_[static_cast<std::size_t>(here.token)].special))
      best = {here.token, at};
    if (at == text.size()) break;
    node = here.child;
  }
  return best;
}

std::vector<AddedTokens::Part> AddedTokens::split(std::string_view text, Pass pass, bool parse_special) const {
  if (unparsed_ == Unparsed::never_match && pass == Pass::raw) return split_longest_first(text, parse_special);
  std::vector<Part> parts;
  const Trie& trie = this->trie(pass);
  std::size_t done = 0;  // everything before is in `parts`
  for (std::size_t at = 0; !trie.nodes.empty() && (at = trie.next_candidate(text, at)) < text.size();) {
    const Match match = longest(trie, text, at, parse_special);
    if (match.token < 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[static_cast<std::size_t>(match.token)];
    std::size_t start = at;
    std::size_t end = match.end;
    at = end;
    if (token.special && !parse_special) continue;
    if (token.single_word && (word_before(text, start) || word_at(text, end))) continue;
    if (token.lstrip) start = skip_spaces_back(text, start, done);
    if (token.rstrip) end = skip_spaces(text, end);
    if (done < start) parts.push_back({std::nullopt, text.substr(done, start - done)});
    parts.push_back({token.id, text.substr(start, end - start)});
    done = end;
  }
  if (done < text.size()) parts.push_back({std::nullopt, text.substr(done)});
  return parts;
}

}  // namespace powerhouse
