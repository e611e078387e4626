// The trie of a Unigram trainer, built level by level from the sorted pieces.
#include <algorithm>
#include <limits>
#include <numeric>

#include "text/unigram_lattice.h"
#include "text/unknown_penalty.h"

namespace powerhouse {

UnigramPieces::UnigramPieces(std::span<const std::pair<std::string, double>> pieces) {
  smallest_score_ = std::numeric_limits<double>::infinity();
  std::vector<std::uint32_t> order;
  for (std::uint32_t id = 0; id < pieces.size(); ++id) {
    scores_.push_back(pieces[id].second);
    if (pieces[id].second < smallest_score_) smallest_score_ = pieces[id].second;  // never so for NaN
    if (id != 0) order.push_back(id);
  }
  unknown_score_ = smallest_score_ - kUnknownPenalty;
  std::sort(order.begin(), order.end(),
            [&](std::uint32_t a, std::uint32_t b) { return pieces[a].first < pieces[b].first; });

  // A node stands for the pieces order[begin, end), which share their first `depth` bytes.
  struct Range {
    std::uint32_t begin, end, depth;
  };
  std::vector<Range> ranges{{0, static_cast<std::uint32_t>(order.size()), 0}};
  nodes_.emplace_back();
  labels_.push_back(0);
  for (std::size_t node = 0; node < nodes_.size(); ++node) {
    auto [begin, end, depth] = ranges[node];
    const auto text = [&](std::uint32_t i) -> const std::string& { return pieces[order[i]].first; };
    while (begin < end && text(begin).size() == depth) nodes_[node].piece = order[begin++];
    const auto first_child = static_cast<std::uint32_t>(nodes_.size());
    while (begin < end) {
      const char label = text(begin)[depth];
      std::uint32_t next = begin + 1;
      while (next < end && text(next)[depth] == label) ++next;
      nodes_.emplace_back();
      labels_.push_back(static_cast<unsigned char>(label));
      ranges.push_back({begin, next, depth + 1});
      begin = next;
    }
    nodes_[node].first_child = first_child;
    nodes_[node].children = static_cast<std::uint16_t>(nodes_.size() - first_child);
  }
}

}  // namespace powerhouse
