#include "text/unigram_lattice.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "text/unicode.h"

namespace powerhouse {
namespace {

// log(exp(a) + exp(b)).
double log_sum(double a, double b) {
  constexpr double kNegligible = 50;
  const double low = a > b ? b : a;
  const double high = a > b ? a : b;
  return high > low + kNegligible ? high : high + std::log(std::exp(low - high) + 1.0);
}

}  // namespace

void UnigramLattice::add_edge(std::size_t begin, std::size_t end, std::uint32_t id, double score) {
  const auto index = static_cast<std::uint32_t>(edges_.size());
  edges_.push_back({static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end), id, kNone, kNone, score, 0});
  ++positions_[begin].edges;
  Position& last = positions_[end];
  if (last.first_ending == kNone) {
    last.first_ending = index;
  } else {
    edges_[last.last_ending].next_ending = index;
  }
  last.last_ending = index;
}

void UnigramLattice::set(std::string_view word) {
  size_ = word.size();
  edges_.clear();
  positions_.assign(size_ + 1, {});
  for (std::size_t at = 0; at < size_;) {
    const std::size_t character = unicode::sequence_length(word[at]);
    positions_[at].first_edge = static_cast<std::uint32_t>(edges_.size());
    bool covered = false;
    pieces_.prefixes(word.substr(at), [&](std::size_t length, std::uint32_t id) {
      add_edge(at, at + length, id, pieces_.score(id));
      covered |= length == character;
    });
    if (!covered) add_edge(at, at + character, 0, pieces_.unknown_score());
    at += character;
  }
}

// Forward and backward sums at each position; both are the same for all edges that meet there.
void UnigramLattice::add_expected(double times, std::span<double> expected) {
  forward_.assign(size_ + 1, 0);
  backward_.assign(size_ + 1, 0);
  for (const Edge& edge : edges_) {
    const double way = edge.score + forward_[edge.begin];
    const bool first = &edge == &edges_[positions_[edge.end].first_ending];
    forward_[edge.end] = first ? way : log_sum(forward_[edge.end], way);
  }
  for (std::size_t at = size_; at-- > 0;) {
    const Position& position = positions_[at];
    for (std::uint32_t i = 0; i < position.edges; ++i) {
      const Edge& edge = edges_[position.first_edge + i];
      const double way = edge.score + backward_[edge.end];
      backward_[at] = i == 0 ? way : log_sum(backward_[at], way);
    }
  }
  const double all = forward_[size_];
  for (const Edge& edge : edges_) {
    expected[edge.id] += times * std::exp(forward_[edge.begin] + edge.score + backward_[edge.end] - all);
  }
}

// The edge that ends the best way; kNone for an empty word.
std::uint32_t UnigramLattice::find_best() {
  const auto best_ending = [&](std::uint32_t position, double score) {
    std::uint32_t best = kNone;
    double best_score = 0;
    for (std::uint32_t i = positions_[position].first_ending; i != kNone; i = edges_[i].next_ending) {
      const double way = edges_[i].best_score + score;
      if (best != kNone && !(way > best_score)) continue;
      best = i;
      best_score = way;
    }
    return std::pair(best, best_score);
  };
  for (Edge& edge : edges_) {
    if (edge.begin == 0) {
      edge.best_score = 0.0 + edge.score;
    } else {
      std::tie(edge.previous, edge.best_score) = best_ending(edge.begin, edge.score);
    }
  }
  return best_ending(static_cast<std::uint32_t>(size_), 0.0).first;
}

std::vector<std::uint32_t> UnigramLattice::best() {
  std::vector<std::uint32_t> ids;
  for (std::uint32_t edge = find_best(); edge != kNone; edge = edges_[edge].previous) ids.push_back(edges_[edge].id);
  std::reverse(ids.begin(), ids.end());
  return ids;
}

std::vector<std::uint32_t> UnigramLattice::ids_of(std::uint32_t hypothesis) const {
  std::vector<std::uint32_t> ids;
  for (; hypotheses_[hypothesis].edge != kNone; hypothesis = hypotheses_[hypothesis].next) {
    ids.push_back(edges_[hypotheses_[hypothesis].edge].id);
  }
  return ids;
}

// A* from the end of the word, with the best scores of the ways there as what is left.
std::pair<std::vector<std::uint32_t>, std::vector<std::uint32_t>> UnigramLattice::best_two() {
  constexpr std::size_t kMostOpen = 100000;
  constexpr std::size_t kKept = 20;
  find_best();
  hypotheses_.clear();
  agenda_.clear();
  const auto open = [&](const Hypothesis& hypothesis) {
    hypotheses_.push_back(hypothesis);
    push(static_cast<std::uint32_t>(hypotheses_.size() - 1));
  };
  open({kNone, static_cast<std::uint32_t>(size_), kNone, 0, 0});
  std::vector<std::vector<std::uint32_t>> found;
  while (!agenda_.empty() && found.size() < 2) {
    const std::uint32_t top = pop();
    const Hypothesis hypothesis = hypotheses_[top];
    if (hypothesis.edge == kBegin) {
      found.push_back(ids_of(hypothesis.next));
      continue;
    }
    if (hypothesis.start == 0) {
      // The beginning of the word is an edge of its own, of score 0.
      open({kBegin, 0, top, 0.0 + hypothesis.exact, 0.0 + hypothesis.exact});
    } else {
      for (std::uint32_t i = positions_[hypothesis.start].first_ending; i != kNone; i = edges_[i].next_ending) {
        open({i, edges_[i].begin, top, edges_[i].best_score + hypothesis.exact, edges_[i].score + hypothesis.exact});
      }
    }
    if (agenda_.size() > kMostOpen) {
      std::vector<std::uint32_t> kept;
      for (std::size_t i = 0; i < kKept; ++i) kept.push_back(pop());
      agenda_.clear();
      for (const std::uint32_t one : kept) push(one);
    }
  }
  found.resize(2);
  return {std::move(found[0]), std::move(found[1])};
}

// The heap keeps its order among equals: one that comes goes above its equals, as in the package's.
void UnigramLattice::push(std::uint32_t hypothesis) {
  agenda_.push_back(hypothesis);
  sift_up(agenda_.size() - 1);
}

void UnigramLattice::sift_up(std::size_t at) {
  const std::uint32_t moved = agenda_[at];
  while (at > 0 && !below(moved, agenda_[(at - 1) / 4])) {
    agenda_[at] = agenda_[(at - 1) / 4];
    at = (at - 1) / 4;
  }
  agenda_[at] = moved;
}

std::uint32_t UnigramLattice::pop() {
  const std::uint32_t top = agenda_.front();
  const std::uint32_t last = agenda_.back();
  agenda_.pop_back();
  if (agenda_.empty()) return top;
  const std::size_t end = agenda_.size();
  const auto larger = [&](std::size_t a, std::size_t b) { return below(agenda_[a], agenda_[b]) ? b : a; };
  std::size_t hole = 0;
  std::size_t child = 1;
  for (; child + 4 <= end; child = 4 * hole + 1) {
    child = larger(larger(child, child + 1), larger(child + 2, child + 3));
    agenda_[hole] = agenda_[child];
    hole = child;
  }
  if (child < end) {
    std::size_t best = child;
    for (std::size_t other = child + 1; other < end; ++other) best = larger(best, other);
    agenda_[hole] = agenda_[best];
    hole = best;
  }
  agenda_[hole] = last;
  sift_up(hole);
  return top;
}

}  // namespace powerhouse
