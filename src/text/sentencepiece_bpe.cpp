#include "text/sentencepiece_bpe.h"

#include <algorithm>

#include "text/heap_merge.h"
#include "text/scratch.h"
#include "text/unicode.h"

namespace powerhouse {
namespace {

using Kind = SentencePieceFile::Kind;

// Scores as orders: the highest is 0, equal ones are equal.
std::vector<std::uint32_t> orders_of(const SentencePieceFile& file) {
  std::vector<float> sorted;
  for (const auto& piece : file.pieces) sorted.push_back(piece.score);
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  std::vector<std::uint32_t> orders;
  for (const auto& piece : file.pieces) {
    const auto at = std::lower_bound(sorted.begin(), sorted.end(), piece.score, std::greater<>());
    orders.push_back(is_found_in_text(piece.kind) ? static_cast<std::uint32_t>(at - sorted.begin()) : kNeverMerges);
  }
  return orders;
}

// Calls `visit(begin, end, id)` for the user-defined pieces of the text, the longest first.
template <typename Visit>
void each_user_defined(const ByteTrie& pieces, std::string_view text, Visit visit) {
  for (std::size_t at = 0; at < text.size();) {
    const auto [end, id] = pieces.longest_prefix(text, at);
    if (id >= 0) visit(at, end, id);
    at = id >= 0 ? end : at + unicode::sequence_length(text[at]);
  }
}

}  // namespace

SentencePieceBpe::SentencePieceBpe(const Vocabulary& vocabulary, const SentencePieceFile& file,
                                   const ByteTrie& user_defined, std::int32_t unk_id)
    : vocabulary_(vocabulary), user_defined_(user_defined), unk_id_(unk_id), merger_(vocabulary, orders_of(file)) {
  bool unused = false;
  for (const auto& piece : file.pieces) {
    unused_.push_back(piece.kind == Kind::unused);
    unused = unused || unused_.back();
    if (is_found_in_text(piece.kind) && piece.kind != Kind::user_defined) words_.add(piece.text);
  }
  if (!unused) unused_.clear();
}

void SentencePieceBpe::cut_segment(std::string_view text, std::size_t begin, std::size_t end,
                                   SentencePieceCuts& out) const {
  const std::string_view segment = text.substr(begin, end - begin);
  words_.each(segment, [&](std::size_t from, std::size_t to) {
    const std::string_view word = segment.substr(from, to - from);
    merger_.each_token(word, [&](std::size_t first, std::size_t last) {
      out.push_back({static_cast<std::uint32_t>(begin + from + last), id_of(word.substr(first, last - first))});
    });
  });
}

void SentencePieceBpe::cut(std::string_view text, SentencePieceCuts& out) const {
  if (!unused_.empty()) return cut_with_unused(text, out);
  std::size_t done = 0;
  each_user_defined(user_defined_, text, [&](std::size_t begin, std::size_t end, std::int32_t id) {
    cut_segment(text, done, begin, out);
    out.push_back({static_cast<std::uint32_t>(end), id});
    done = end;
  });
  cut_segment(text, done, text.size(), out);
}

void SentencePieceBpe::cut_with_unused(std::string_view text, SentencePieceCuts& out) const {
  std::vector<std::uint32_t> starts;  // of the symbols
  std::vector<bool> frozen;
  const auto add_characters = [&](std::size_t at, std::size_t end) {
    for (; at < end; at += unicode::sequence_length(text[at])) {
      starts.push_back(static_cast<std::uint32_t>(at));
      frozen.push_back(false);
    }
  };
  std::size_t done = 0;
  each_user_defined(user_defined_, text, [&](std::size_t begin, std::size_t end, std::int32_t) {
    add_characters(done, begin);
    starts.push_back(static_cast<std::uint32_t>(begin));
    frozen.push_back(true);
    done = end;
  });
  add_characters(done, text.size());

  Splits splits;
  const auto begin_of = [&](std::uint32_t symbol) { return symbol == kNoSymbol ? text.size() : starts[symbol]; };
  const auto order_of = [&](std::uint32_t at, std::uint32_t next, std::uint32_t after) {
    if (frozen[at] || frozen[next]) return kNeverMerges;
    const std::uint32_t order = merger_.order_of(text, starts[at], begin_of(after));
    if (order == kNeverMerges) return order;
    const std::int32_t id = id_of(text.substr(starts[at], begin_of(after) - starts[at]));
    if (unused_[static_cast<std::size_t>(id)]) splits[id] = starts[next] - starts[at];
    return order;
  };
  const std::vector<std::uint32_t> left =
      merge_by_heap(static_cast<std::uint32_t>(starts.size()), order_of, [](std::uint32_t, std::uint32_t) {});
  for (std::size_t i = 0; i < left.size(); ++i) {
    take_apart(text, starts[left[i]], begin_of(i + 1 < left.size() ? left[i + 1] : kNoSymbol), splits, out);
  }
}

// Gives the token text[begin, end), or the parts that made it where it is unused, and their parts.
void SentencePieceBpe::take_apart(std::string_view text, std::size_t begin, std::size_t end, const Splits& splits,
                                  SentencePieceCuts& out) const {
  std::vector<std::size_t> ends{end};  // of the parts to come, the next one last
  while (!ends.empty()) {
    const std::int32_t id = id_of(text.substr(begin, ends.back() - begin));
    const auto split = splits.find(id);
    if (unused_[static_cast<std::size_t>(id)] && split != splits.end()) {
      ends.push_back(begin + split->second);
      continue;
    }
    begin = ends.back();
    out.push_back({static_cast<std::uint32_t>(begin), id});
    ends.pop_back();
  }
}

}  // namespace powerhouse
