// The segmentations of one word into pieces, as Unigram training sees them: every piece that stands somewhere in the
// word is an edge from one byte to another, and a character that is no piece gets an edge of the unknown token.
//
// Sums and choices are made in the order of `tokenizers`: edges by their start, shorter ones first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace powerhouse {

/// Pieces to be found in words. Piece 0 is the unknown token: it has no text to be found by.
class UnigramPieces {
 public:
  /// `texts` and `scores` by id.
  explicit UnigramPieces(std::span<const std::pair<std::string, double>> pieces);

  double score(std::uint32_t id) const { return scores_[id]; }
  double unknown_score() const { return unknown_score_; }
  double smallest_score() const { return smallest_score_; }

  /// Calls found(length, id) for each piece that `text` begins with, shorter ones first.
  template <typename Found>
  void prefixes(std::string_view text, Found&& found) const;

 private:
  struct Node {
    std::uint32_t first_child = 0;  // children are neighbours, by label
    std::uint32_t piece = 0;        // 0: no piece ends here
    std::uint16_t children = 0;
  };
  std::vector<Node> nodes_;
  std::vector<unsigned char> labels_;  // of each node
  std::vector<double> scores_;
  double unknown_score_ = 0;
  double smallest_score_ = 0;
};

class UnigramLattice {
 public:
  explicit UnigramLattice(const UnigramPieces& pieces) : pieces_(pieces) {}

  void set(std::string_view word);
  /// Adds to expected[id] the number of times that each piece is expected in `times` times the word.
  void add_expected(double times, std::span<double> expected);
  /// The ids of the most probable segmentation.
  std::vector<std::uint32_t> best();
  /// Those of the two most probable ones; the second is empty where there is none.
  std::pair<std::vector<std::uint32_t>, std::vector<std::uint32_t>> best_two();

 private:
  static constexpr std::uint32_t kNone = 0xFFFFFFFFu;
  static constexpr std::uint32_t kBegin = 0xFFFFFFFEu;  // the beginning of the word as an edge
  struct Edge {
    std::uint32_t begin, end;
    std::uint32_t id;
    std::uint32_t next_ending;  // the next edge that ends where this one does
    std::uint32_t previous;     // on the best way here
    double score;
    double best_score;  // of the best way to this edge's end
  };
  struct Position {
    std::uint32_t first_edge = 0, edges = 0;  // that begin here
    std::uint32_t first_ending = kNone, last_ending = kNone;
  };
  struct Hypothesis {
    std::uint32_t edge;   // kNone at the end of the word
    std::uint32_t start;  // of that edge
    std::uint32_t next;   // towards the word's end
    double estimate, exact;
  };

  void add_edge(std::size_t begin, std::size_t end, std::uint32_t id, double score);
  std::uint32_t find_best();
  std::vector<std::uint32_t> ids_of(std::uint32_t hypothesis) const;
  void push(std::uint32_t hypothesis);
  std::uint32_t pop();
  bool below(std::uint32_t a, std::uint32_t b) const { return hypotheses_[a].estimate < hypotheses_[b].estimate; }
  void sift_up(std::size_t at);

  const UnigramPieces& pieces_;
  std::size_t size_ = 0;
  std::vector<Edge> edges_;
  std::vector<Position> positions_;  // one a byte, and the end
  std::vector<double> forward_, backward_;
  std::vector<Hypothesis> hypotheses_;
  std::vector<std::uint32_t> agenda_;  // a heap of four children a node
};

template <typename Found>
void UnigramPieces::prefixes(std::string_view text, Found&& found) const {
  const Node* node = nodes_.data();
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto label = static_cast<unsigned char>(text[at]);
    const unsigned char* const labels = labels_.data() + node->first_child;
    std::size_t child = 0;
    while (child < node->children && labels[child] < label) ++child;
    if (child == node->children || labels[child] != label) return;
    node = &nodes_[node->first_child + child];
    if (node->piece != 0) found(at + 1, node->piece);
  }
}

}  // namespace powerhouse
