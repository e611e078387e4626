#include "text/rank_bpe.h"

#include <numeric>

#include "text/unicode.h"

namespace powerhouse {
namespace {

// Scratch memory that one giant piece needed is given back.
constexpr std::size_t kKeptScratch = 1 << 16;

std::vector<std::uint32_t> ids_as_orders(std::size_t count) {
  std::vector<std::uint32_t> orders(count);
  std::iota(orders.begin(), orders.end(), 0u);
  return orders;
}

}  // namespace

RankBpe::RankBpe(const Vocabulary& vocabulary)
    : vocabulary_(vocabulary), merger_(vocabulary, ids_as_orders(vocabulary.size())) {}

template <typename Emit>
void RankBpe::run(std::string_view piece, Emit emit) const {
  if (piece.empty()) return;
  if (const auto whole = vocabulary_.find(piece)) return emit(TokenSpan{*whole, 0, piece.size(), false});
  thread_local std::vector<std::uint32_t> starts;
  starts.clear();
  for (std::size_t at = 0; at < piece.size(); at += unicode::sequence_length(piece[at])) {
    starts.push_back(static_cast<std::uint32_t>(at));
  }
  merger_.merge(piece, starts);
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const std::size_t end = i + 1 < starts.size() ? starts[i + 1] : piece.size();
    if (const auto id = vocabulary_.find(piece.substr(starts[i], end - starts[i]))) {
      emit(TokenSpan{*id, starts[i], end, false});
    }
  }
  if (starts.capacity() > kKeptScratch) starts = {};
}

void RankBpe::encode(std::string_view piece, std::vector<std::int64_t>& out) const {
  run(piece, [&](const TokenSpan& span) { out.push_back(span.id); });
}

void RankBpe::encode_spans(std::string_view piece, std::vector<TokenSpan>& out) const {
  run(piece, [&](const TokenSpan& span) { out.push_back(span); });
}

}  // namespace powerhouse
