#include "text/spm.h"

#include <algorithm>
#include <cmath>

#include "powerhouse/error.h"
#include "text/spellings.h"

namespace powerhouse {
namespace {

// Scores as orders: the highest is 0, equal ones are equal.
std::vector<std::uint32_t> orders_of(const Vocabulary& vocabulary, const std::vector<double>& scores) {
  if (scores.size() < vocabulary.size()) {
    throw Error(ErrorKind::format, "fewer scores than tokens",
                {.field = "tokenizer.ggml.scores",
                 .expected = std::to_string(vocabulary.size()),
                 .found = std::to_string(scores.size())});
  }
  std::vector<float> sorted;
  for (std::size_t id = 0; id < vocabulary.size(); ++id) {
    if (std::isnan(scores[id])) {
      throw Error(ErrorKind::format, "a score is no number",
                  {.field = "tokenizer.ggml.scores", .found = "token " + std::to_string(id)});
    }
    sorted.push_back(static_cast<float>(scores[id]));
  }
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  std::vector<std::uint32_t> orders;
  for (std::size_t id = 0; id < vocabulary.size(); ++id) {
    const auto at = std::lower_bound(sorted.begin(), sorted.end(), static_cast<float>(scores[id]), std::greater<>());
    orders.push_back(static_cast<std::uint32_t>(at - sorted.begin()));
  }
  return orders;
}

}  // namespace

Spm::Spm(const Vocabulary& vocabulary, const std::vector<double>& scores, std::optional<std::int32_t> unk_id)
    : vocabulary_(vocabulary), merger_(vocabulary, orders_of(vocabulary, scores)) {
  for (std::size_t id = 0; id < vocabulary.size(); ++id) {
    const auto number = static_cast<std::int64_t>(id);
    if (vocabulary.contains(number)) words_.add(vocabulary.text(number));
  }
  bytes_ = find_byte_tokens(vocabulary);
  std::replace(bytes_.begin(), bytes_.end(), -1, unk_id.value_or(-1));
}

template <typename Emit>
void Spm::run_word(std::string_view piece, std::size_t begin, std::size_t end, Emit emit) const {
  const std::string_view word = piece.substr(begin, end - begin);
  merger_.each_token(word, [&](std::size_t from, std::size_t to) {
    const std::string_view text = word.substr(from, to - from);
    if (const auto id = vocabulary_.find(text)) {
      emit(TokenSpan{*id, begin + from, begin + to, false});
      return;
    }
    for (const char byte : text) {
      const std::int32_t id = bytes_[static_cast<unsigned char>(byte)];
      if (id >= 0) emit(TokenSpan{id, begin + from, begin + to, false});
    }
  });
}

template <typename Emit>
void Spm::run(std::string_view piece, Emit emit) const {
  words_.each(piece, [&](std::size_t begin, std::size_t end) { run_word(piece, begin, end, emit); });
}

void Spm::encode(std::string_view piece, std::vector<std::int64_t>& out) const {
  run(piece, [&](const TokenSpan& span) { out.push_back(span.id); });
}

void Spm::encode_spans(std::string_view piece, std::vector<TokenSpan>& out) const {
  run(piece, [&](const TokenSpan& span) { out.push_back(span); });
}

}  // namespace powerhouse
