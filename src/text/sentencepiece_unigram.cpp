#include "text/sentencepiece_unigram.h"

#include <algorithm>
#include <limits>

#include "powerhouse/error.h"
#include "text/scratch.h"
#include "text/unicode.h"
#include "text/unknown_penalty.h"

namespace powerhouse {
namespace {

using Kind = SentencePieceFile::Kind;

// The best path that ends at a place.
struct Best {
  float score = 0;
  std::uint32_t start = 0;  // where its last token begins
  std::int32_t id = -1;     // -1: no path yet
};

}  // namespace

SentencePieceUnigram::SentencePieceUnigram(const SentencePieceFile& file, std::int32_t unk_id) : unk_id_(unk_id) {
  float least = std::numeric_limits<float>::max();
  float most = std::numeric_limits<float>::min();
  bool any = false;
  for (const auto& piece : file.pieces) {
    any = any || is_found_in_text(piece.kind);
    if (piece.kind != Kind::normal) continue;
    least = std::min(least, piece.score);
    most = std::max(most, piece.score);
  }
  if (!any) throw Error(ErrorKind::format, "not a SentencePiece model: no pieces that a text can give", {});
  unk_score_ = least - kUnknownPenalty;
  std::vector<ByteTrie::Key> keys;
  for (const auto& piece : file.pieces) {
    // User-defined pieces win over all others: a tenth less than the best score for each of their bytes.
    const bool user_defined = piece.kind == Kind::user_defined;
    const auto length = static_cast<float>(piece.text.size());
    scores_.push_back(user_defined ? length * most - 0.1 : piece.score);
    if (user_defined || piece.kind == Kind::normal) {
      keys.emplace_back(piece.text, static_cast<std::int32_t>(scores_.size() - 1));
    }
  }
  trie_ = ByteTrie(std::move(keys));
}

void SentencePieceUnigram::cut(std::string_view text, SentencePieceCuts& out) const {
  thread_local std::vector<Best> best;
  best.assign(text.size() + 1, Best{});
  for (std::size_t at = 0; at < text.size();) {
    const float here = best[at].score;
    const std::size_t next = at + unicode::sequence_length(text[at]);
    const auto offer = [&](std::size_t end, double score, std::int32_t id) {
      Best& there = best[end];
      if (there.id >= 0 && !(score > there.score)) return;
      there = {static_cast<float>(score), static_cast<std::uint32_t>(at), id};
    };
    bool character = false;  // whether this character alone is a token
    trie_.each_prefix(text, at, [&](std::size_t end, std::int32_t id) {
      offer(end, scores_[static_cast<std::size_t>(id)] + here, id);
      character = character || end == next;
    });
    if (!character) offer(next, unk_score_ + here, unk_id_);
    at = next;
  }
  for (std::size_t end = text.size(); end > 0; end = best[end].start) {
    out.push_back({static_cast<std::uint32_t>(end), best[end].id});
  }
  std::reverse(out.begin(), out.end());
  give_back_if_large(best);
}

}  // namespace powerhouse
