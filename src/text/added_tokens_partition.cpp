// Added tokens as llama.cpp finds them: the longest token first, wherever in the text it stands, then the next one in
// what is left. (tokenizers takes the leftmost.) Each place offers its longest token; a queue takes the offers in the
// order of their tokens' turns, and a place whose offer is taken by another comes back with a shorter one, so that a
// text costs about its length and not its length times the tokens.
#include <algorithm>
#include <map>
#include <numeric>
#include <queue>

#include "text/added_tokens.h"

namespace powerhouse {
namespace {

// What the C library calls white space, which is what llama.cpp strips.
bool is_ascii_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

}  // namespace

// Tokens of one length follow in the order that llama.cpp's own sort leaves them in: std::sort, which is not stable.
void AddedTokens::order_by_length() {
  std::vector<std::uint32_t> order(tokens_.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(),
            [&](std::uint32_t a, std::uint32_t b) { return tokens_[a].spelling.size() > tokens_[b].spelling.size(); });
  turns_.resize(order.size());
  for (std::uint32_t turn = 0; turn < order.size(); ++turn) turns_[order[turn]] = turn;
}

class AddedTokens::Partition {
 public:
  Partition(const AddedTokens& tokens, std::string_view text, bool parse_special)
      : tokens_(tokens), text_(text), parse_special_(parse_special) {}

  std::vector<Part> run() {
    const Trie& trie = tokens_.raw_;
    for (std::size_t at = 0; !trie.nodes.empty() && (at = trie.next_candidate(text_, at)) < text_.size(); ++at) {
      const Match match = tokens_.longest(tokens_.raw_, text_, at, parse_special_);
      if (match.token >= 0) offers_.push_back({turn_of(match), at, match});
    }
    if (offers_.empty()) return {{std::nullopt, text_}};
    using Later = std::greater<>;
    std::priority_queue<Offer, std::vector<Offer>, Later> queue(Later{}, std::move(offers_));
    while (!queue.empty()) {
      const Offer offer = queue.top();
      queue.pop();
      const std::size_t limit = room_at(offer.start);
      if (offer.match.end <= limit) {
        take(offer, limit);
      } else if (limit > offer.start) {
        const Match shorter = tokens_.longest(tokens_.raw_, text_.substr(0, limit), offer.start, parse_special_);
        if (shorter.token >= 0) queue.push({turn_of(shorter), offer.start, shorter});
      }
    }
    return parts();
  }

 private:
  struct Offer {
    std::uint32_t turn;
    std::size_t start;
    Match match;
    bool operator>(const Offer& other) const { return turn != other.turn ? turn > other.turn : start > other.start; }
  };
  struct Taken {
    std::size_t end;  // with the white space that the token strips
    std::int32_t token;
  };

  std::uint32_t turn_of(const Match& match) const { return tokens_.turns_[static_cast<std::size_t>(match.token)]; }

  // Where the free text around `at` ends; `at` itself where it is taken.
  std::size_t room_at(std::size_t at) const {
    const auto next = taken_.upper_bound(at);
    if (next != taken_.begin() && std::prev(next)->second.end > at) return at;
    return next == taken_.end() ? text_.size() : next->first;
  }

  void take(const Offer& offer, std::size_t limit) {
    const AddedToken& token = tokens_.tokens_[static_cast<std::size_t>(offer.match.token)];
    const auto next = taken_.upper_bound(offer.start);
    const std::size_t floor = next == taken_.begin() ? 0 : std::prev(next)->second.end;
    std::size_t start = offer.start;
    std::size_t end = offer.match.end;
    while (token.lstrip && start > floor && is_ascii_space(text_[start - 1])) --start;
    while (token.rstrip && end < limit && is_ascii_space(text_[end])) ++end;
    taken_.emplace(start, Taken{end, offer.match.token});
  }

  std::vector<Part> parts() const {
    std::vector<Part> out;
    std::size_t done = 0;
    for (const auto& [start, taken] : taken_) {
      if (done < start) out.push_back({std::nullopt, text_.substr(done, start - done)});
      out.push_back(
          {tokens_.tokens_[static_cast<std::size_t>(taken.token)].id, text_.substr(start, taken.end - start)});
      done = taken.end;
    }
    if (done < text_.size()) out.push_back({std::nullopt, text_.substr(done)});
    return out;
  }

  const AddedTokens& tokens_;
  std::string_view text_;
  bool parse_special_;
  std::vector<Offer> offers_;
  std::map<std::size_t, Taken> taken_;  // by start
};

std::vector<AddedTokens::Part> AddedTokens::split_longest_first(std::string_view text, bool parse_special) const {
  if (text.empty()) return {};
  if (raw_.nodes.empty()) return {{std::nullopt, text}};
  return Partition(*this, text, parse_special).run();
}

}  // namespace powerhouse
