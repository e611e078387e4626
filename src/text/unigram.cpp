#include "text/unigram.h"

#include <algorithm>
#include <limits>

#include "powerhouse/error.h"
#include "text/scratch.h"
#include "text/spellings.h"
#include "text/unicode.h"
#include "text/unknown_penalty.h"

namespace powerhouse {
namespace {

constexpr std::uint32_t kNowhere = std::numeric_limits<std::uint32_t>::max();

}  // namespace

struct Unigram::Best {
  double score = 0;
  std::uint32_t start = kNowhere;  // where the last token of the path begins
  std::int32_t id = -1;            // -1: no path yet
};

Unigram::Unigram(const Vocabulary& vocabulary, std::vector<double> scores, UnigramOptions options)
    : vocabulary_(vocabulary), scores_(std::move(scores)), options_(std::move(options)) {
  if (scores_.size() != vocabulary.size()) {
    throw Error(ErrorKind::format, "a unigram model needs one score a token",
                {.expected = std::to_string(vocabulary.size()), .found = std::to_string(scores_.size())});
  }
  std::vector<bool> hidden(scores_.size());
  for (const std::int32_t id : options_.hidden) hidden[static_cast<std::size_t>(id)] = true;
  std::vector<ByteTrie::Key> keys;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t id = 0; id < scores_.size(); ++id) {
    least = std::min(least, scores_[id]);
    const auto number = static_cast<std::int64_t>(id);
    if (!vocabulary.contains(number) || hidden[id] || vocabulary.text(number).empty()) continue;
    keys.emplace_back(vocabulary.text(number), static_cast<std::int32_t>(id));
  }
  trie_ = ByteTrie(std::move(keys));
  unk_score_ = options_.unk_score.value_or(least - kUnknownPenalty);
  fallback_ = find_byte_tokens(vocabulary);
}

void Unigram::search(std::string_view piece, std::vector<Best>& best) const {
  if (piece.size() >= kNowhere) {
    throw Error(ErrorKind::range, "a piece of text without a break is too long",
                {.expected = "less than 4294967295 bytes", .found = std::to_string(piece.size())});
  }
  best.assign(piece.size() + 1, Best{});
  const auto offer = [&](std::size_t start, std::size_t end, double score, std::int32_t id) {
    Best& there = best[end];
    if (there.id < 0 || score > there.score) there = {score, static_cast<std::uint32_t>(start), id};
  };
  for (std::size_t at = 0; at < piece.size();) {
    const double here = best[at].score;
    const std::size_t next = at + unicode::sequence_length(piece[at]);
    bool character = false;  // whether this character alone is a token
    trie_.each_prefix(piece, at, [&](std::size_t end, std::int32_t id) {
      offer(at, end, here + scores_[static_cast<std::size_t>(id)], id);
      character = character || end == next;
    });
    if (!character) {
      const bool better = best[next].id < 0 || here + unk_score_ > best[next].score;
      if (better && !options_.unk_id) {
        throw Error(ErrorKind::range, "the vocabulary has no token for a character and no unknown token",
                    {.field = "model.unk_id", .found = std::string(piece.substr(at, next - at))});
      }
      if (better) offer(at, next, here + unk_score_, *options_.unk_id);
    }
    at = next;
  }
}

// Unknown text that is spelled as some token is that token; else its bytes where all have tokens; else one unknown.
template <typename Emit>
void Unigram::emit_unknown(std::string_view piece, std::size_t begin, std::size_t end, Emit emit) const {
  const std::string_view text = piece.substr(begin, end - begin);
  if (const auto id = vocabulary_.find(text)) return emit(TokenSpan{*id, begin, end, *id == *options_.unk_id});
  const bool falls_back = options_.byte_fallback && std::all_of(text.begin(), text.end(), [&](char byte) {
                            return fallback_[static_cast<unsigned char>(byte)] >= 0;
                          });
  if (!falls_back) return emit(TokenSpan{*options_.unk_id, begin, end, true});
  for (const char byte : text) emit(TokenSpan{fallback_[static_cast<unsigned char>(byte)], begin, end, false});
}

template <typename Emit>
void Unigram::run(std::string_view piece, Emit emit) const {
  thread_local std::vector<Best> best;
  thread_local std::vector<std::uint32_t> ends;  // of the path's tokens, the last first
  search(piece, best);
  ends.clear();
  for (auto end = static_cast<std::uint32_t>(piece.size()); end > 0; end = best[end].start) ends.push_back(end);
  std::size_t begin = 0;
  std::size_t unknown = 0;  // unknown text from here to `begin` is not given yet
  bool waits = false;
  for (std::size_t i = ends.size(); i-- > 0;) {
    const std::size_t end = ends[i];
    const std::int32_t id = best[end].id;
    const bool is_unknown = options_.unk_id && id == *options_.unk_id;
    if (waits && !(is_unknown && options_.fuse_unk)) {
      emit_unknown(piece, unknown, begin, emit);
      waits = false;
    }
    if (is_unknown) {
      if (!waits) unknown = begin;
      waits = true;
    } else {
      emit(TokenSpan{id, begin, end, false});
    }
    begin = end;
  }
  if (waits) emit_unknown(piece, unknown, begin, emit);
  give_back_if_large(best, ends);
}

void Unigram::encode(std::string_view piece, std::vector<std::int64_t>& out) const {
  run(piece, [&](const TokenSpan& span) { out.push_back(span.id); });
}

void Unigram::encode_spans(std::string_view piece, std::vector<TokenSpan>& out) const {
  run(piece, [&](const TokenSpan& span) { out.push_back(span); });
}

}  // namespace powerhouse
