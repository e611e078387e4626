#include "text/gguf_unigram.h"

#include <algorithm>
#include <limits>

#include "powerhouse/error.h"
#include "text/scratch.h"
#include "text/unicode.h"
#include "text/unknown_penalty.h"

namespace powerhouse {
namespace {

constexpr char32_t kBlankCharacter = 0x2581;

bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

}  // namespace

GgufUnigramNormalizer::GgufUnigramNormalizer(std::optional<Charsmap> map,
                                             const std::vector<std::string_view>& user_defined, Options options)
    : map_(std::move(map)), options_(options) {
  std::vector<ByteTrie::Key> keys;
  for (const std::string_view token : user_defined) {
    if (!token.empty()) keys.emplace_back(token, 0);
  }
  user_defined_ = ByteTrie(std::move(keys));
}

// What the beginning of the text becomes. Of user-defined tokens the beginning suffices, which is llama.cpp's way: it
// takes what some such token shares with the text. (There even half a character, which leaves no UTF-8: not here.)
Charsmap::Prefix GgufUnigramNormalizer::normalize_prefix(std::string_view text) const {
  std::size_t shared = 0;
  for (ByteTrie::Node node = ByteTrie::kRoot;
       shared < text.size() && user_defined_.step(node, static_cast<unsigned char>(text[shared]));) {
    ++shared;
  }
  while (shared > 0 && shared < text.size() && continues(text[shared])) --shared;
  if (shared > 0) return {shared, text.substr(0, shared)};
  if (map_) {
    if (const Charsmap::Prefix found = map_->longest(text); found.size > 0) return found;
  }
  const std::size_t length = unicode::sequence_length(text[0]);
  return {length, text.substr(0, length)};
}

bool GgufUnigramNormalizer::rewrite(const AlignedText& text, TextBuffer& out) const {
  TextBuilder builder(text, out);
  bool prepended = false;
  bool in_word = false;
  for (std::size_t at = 0; at < text.text.size();) {
    const Charsmap::Prefix prefix = normalize_prefix(text.text.substr(at));
    for (std::size_t i = 0; i < prefix.replacement.size();) {
      const auto [code_point, length] = unicode::character_at(prefix.replacement, i);
      i += length;
      if (code_point == ' ') {
        in_word = false;
        if (!options_.remove_extra_whitespaces) builder.put(kBlankCharacter, at);
        continue;
      }
      if (!in_word) {
        in_word = true;
        if ((options_.add_space_prefix && !prepended) || options_.remove_extra_whitespaces) {
          builder.put(kBlankCharacter, at);
          prepended = true;
        }
      }
      builder.put(code_point, at);
    }
    at += prefix.size;
  }
  return true;
}

struct GgufUnigram::Best {
  double score = -std::numeric_limits<double>::max();
  std::uint32_t start = 0;  // where the last token of the path begins
  std::int32_t id = -1;
};

GgufUnigram::GgufUnigram(const Vocabulary& vocabulary, const std::vector<double>& scores,
                         const std::vector<Role>& roles, std::optional<std::int32_t> unk_id)
    : unk_id_(unk_id.value_or(-1)) {
  if (scores.size() < vocabulary.size() || roles.size() < vocabulary.size()) {
    throw Error(ErrorKind::format, "fewer scores than tokens",
                {.field = "tokenizer.ggml.scores",
                 .expected = std::to_string(vocabulary.size()),
                 .found = std::to_string(std::min(scores.size(), roles.size()))});
  }
  std::vector<ByteTrie::Key> keys;
  float least = std::numeric_limits<float>::max();
  scores_.resize(vocabulary.size());
  for (std::size_t id = 0; id < vocabulary.size(); ++id) {
    const auto number = static_cast<std::int64_t>(id);
    if (!vocabulary.contains(number)) continue;
    if (roles[id] == Role::normal) least = std::min(least, static_cast<float>(scores[id]));
    if (roles[id] == Role::hidden || vocabulary.text(number).empty()) continue;
    // User-defined tokens win over others: scores are logarithms.
    scores_[id] = roles[id] == Role::user_defined ? 0.0 : static_cast<float>(scores[id]);
    keys.emplace_back(vocabulary.text(number), static_cast<std::int32_t>(id));
  }
  trie_ = ByteTrie(std::move(keys));
  unk_score_ = least - kUnknownPenalty;
}

void GgufUnigram::search(std::string_view piece, std::vector<Best>& best) const {
  if (piece.size() >= std::numeric_limits<std::uint32_t>::max()) {
    throw Error(ErrorKind::range, "a piece of text without a break is too long",
                {.expected = "less than 4294967295 bytes", .found = std::to_string(piece.size())});
  }
  best.assign(piece.size() + 1, Best{.id = unk_id_});
  best[0].score = 0;
  const auto offer = [&](std::size_t start, std::size_t end, double score, std::int32_t id) {
    if (score > best[end].score) best[end] = {score, static_cast<std::uint32_t>(start), id};
  };
  for (std::size_t at = 0; at < piece.size();) {
    const double here = best[at].score;
    const std::size_t next = at + unicode::sequence_length(piece[at]);
    bool character = false;  // whether this character alone is a token
    trie_.each_prefix(piece, at, [&](std::size_t end, std::int32_t id) {
      offer(at, end, here + scores_[static_cast<std::size_t>(id)], id);
      character = character || end == next;
    });
    if (!character) offer(at, next, here + unk_score_, unk_id_);
    at = next;
  }
}

template <typename Emit>
void GgufUnigram::run(std::string_view piece, Emit emit) const {
  if (piece.empty()) return;
  thread_local std::vector<Best> best;
  thread_local std::vector<std::uint32_t> ends;  // of the path's tokens, the last first
  search(piece, best);
  ends.clear();
  for (auto end = static_cast<std::uint32_t>(piece.size()); end > 0; end = best[end].start) ends.push_back(end);
  std::size_t begin = 0;
  for (std::size_t i = ends.size(); i-- > 0;) {
    const std::int32_t id = best[ends[i]].id;
    // Unknown tokens side by side are one.
    if (id == unk_id_ && i > 0 && best[ends[i - 1]].id == unk_id_) continue;
    if (id >= 0) emit(TokenSpan{id, begin, ends[i], id == unk_id_});
    begin = ends[i];
  }
  give_back_if_large(best, ends);
}

void GgufUnigram::encode(std::string_view piece, std::vector<std::int64_t>& out) const {
  run(piece, [&](const TokenSpan& span) { out.push_back(span.id); });
}

void GgufUnigram::encode_spans(std::string_view piece, std::vector<TokenSpan>& out) const {
  run(piece, [&](const TokenSpan& span) { out.push_back(span); });
}

}  // namespace powerhouse
