#include "text/rank_bpe.h"

#include <numeric>

namespace powerhouse {
namespace {

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
  merger_.each_token(piece, [&](std::size_t begin, std::size_t end) {
    if (const auto id = vocabulary_.find(piece.substr(begin, end - begin))) emit(TokenSpan{*id, begin, end, false});
  });
}

void RankBpe::encode(std::string_view piece, std::vector<std::int64_t>& out) const {
  run(piece, [&](const TokenSpan& span) { out.push_back(span.id); });
}

void RankBpe::encode_spans(std::string_view piece, std::vector<TokenSpan>& out) const {
  run(piece, [&](const TokenSpan& span) { out.push_back(span); });
}

}  // namespace powerhouse
