#include "text/word_counts.h"

#include <algorithm>
#include <atomic>
#include <string>

#include "support/thread_team.h"
#include "support/utf8.h"
#include "text/byte_level.h"

namespace powerhouse {
namespace {

// Workers take this many texts at a time: lines are short and of uneven cost.
constexpr std::size_t kTextsAtOnce = 64;
constexpr std::size_t kBatchBytes = std::size_t{2} << 20;  // a worker

void count_batch(const TextBatch& batch, const Normalizer& normalizer, const PreTokenizer& pre_tokenizer,
                 std::vector<WordTable>& tables) {
  std::atomic<std::size_t> next{0};
  parallel_for(static_cast<std::int64_t>(tables.size()), 1, [&](std::int64_t worker, std::int64_t) {
    WordTable& table = tables[static_cast<std::size_t>(worker)];
    std::string storage;
    for (std::size_t begin = 0; (begin = next.fetch_add(kTextsAtOnce)) < batch.texts.size();) {
      const std::size_t end = std::min(begin + kTextsAtOnce, batch.texts.size());
      for (std::size_t i = begin; i < end; ++i) {
        const std::string_view text = batch.texts[i];
        if (const auto invalid = find_invalid_utf8(text)) batch.refuse_utf8(text, *invalid);
        pre_tokenizer.split(normalizer.apply(text, storage), [&](std::string_view word) { table.add(word); });
      }
    }
  });
}

// Byte-level words in their alphabet.
WordTable spelled(const WordTable& bytes) {
  WordTable out;
  std::string word;
  for (const WordTable::Entry& entry : bytes.entries()) {
    word.clear();
    append_byte_level(word, entry.text());
    out.add(word, entry.count);
  }
  return out;
}

}  // namespace

WordCounts WordCounts::of(TextSource& source, const Normalizer& normalizer, const PreTokenizer& pre_tokenizer) {
  WordCounts counts;
  counts.tables_.resize(static_cast<std::size_t>(std::max(1, team_threads())));
  TextBatch batch;
  while (source.next(batch, kBatchBytes * counts.tables_.size())) {
    count_batch(batch, normalizer, pre_tokenizer, counts.tables_);
  }
  while (counts.tables_.size() > 1) {
    counts.tables_.front().add_all(counts.tables_.back());
    counts.tables_.pop_back();
  }
  if (pre_tokenizer.gives_bytes()) counts.tables_.front() = spelled(counts.tables_.front());
  for (const WordTable::Entry& entry : counts.tables_.front().entries()) {
    counts.words_.push_back({entry.text(), entry.count});
  }
  std::sort(counts.words_.begin(), counts.words_.end(),
            [](const WordCount& a, const WordCount& b) { return a.word < b.word; });
  return counts;
}

}  // namespace powerhouse
