#include "text/bpe_trainer.h"

#include <algorithm>
#include <queue>
#include <unordered_set>

#include "text/bpe_trainer_words.h"
#include "text/pair_counts.h"

namespace powerhouse {
namespace {

// A pair with the count it had when it was queued, and the words it was seen in since it was queued before.
struct Queued {
  std::uint64_t count;
  TokenPair pair;
  std::uint32_t places;  // which list

  // The less urgent one; of equals that which was queued later.
  bool operator<(const Queued& other) const {
    if (count != other.count) return count < other.count;
    return pair != other.pair ? pair > other.pair : places > other.places;
  }
};

class BpeTrainer {
 public:
  BpeTrainer(const WordCounts& counts, const BpeTrainerOptions& options) : options_(options), words_(counts, options) {}

  TrainedBpe train() {
    count_pairs();
    enqueue();
    while (words_.vocabulary_size() < options_.vocab_size && !queue_.empty()) {
      Queued top = queue_.top();
      queue_.pop();
      // Below zero (where tokens that are too long come and go) it wraps around, as it does in `tokenizers`.
      const auto now = static_cast<std::uint64_t>(pairs_.count(pairs_.find(top.pair)));
      if (top.count != now) {
        top.count = now;
        queue_.push(top);
        continue;
      }
      if (top.count < 1 || top.count < options_.min_frequency) break;
      merge(top);
    }
    return result();
  }

 private:
  void count_pairs() {
    for (std::size_t i = 0; i < words_.size(); ++i) {
      const auto& word = words_.word(i);
      const std::uint32_t* const symbols = words_.symbols(word);
      for (std::uint32_t at = 1; at < word.size; ++at) {
        note(make_pair(symbols[at - 1], symbols[at]), word.count, static_cast<std::uint32_t>(i));
      }
    }
  }

  // A pair's count changes by `by` in a word; one that comes is to be looked for there.
  void note(TokenPair pair, std::int64_t by, std::uint32_t word) {
    const std::size_t index = pairs_.add(pair, by);
    if (by <= 0) return;
    std::uint32_t& list = pairs_.list(index);
    if (list == PairCounts::kNoList) {
      list = static_cast<std::uint32_t>(places_.size());
      places_.emplace_back();
      fresh_.push_back(index);
    }
    std::vector<std::uint32_t>& places = places_[list];
    if (places.empty() || places.back() != word) places.push_back(word);
  }

  void enqueue() {
    for (const std::size_t index : fresh_) {
      std::uint32_t& list = pairs_.list(index);
      const std::int64_t count = pairs_.count(index);
      if (count > 0) queue_.push({static_cast<std::uint64_t>(count), pairs_.pair(index), list});
      list = PairCounts::kNoList;
    }
    fresh_.clear();
  }

  void merge(const Queued& top) {
    const std::string_view prefix = options_.continuing_subword_prefix;
    std::string_view right = words_.text(right_of(top.pair));
    if (!prefix.empty() && right.starts_with(prefix)) right.remove_prefix(prefix.size());
    std::string token(words_.text(left_of(top.pair)));
    token += right;
    const std::uint32_t id = words_.add(token);
    merges_.push_back(top.pair);
    const std::vector<std::uint32_t> places = std::move(places_[top.places]);
    for (const std::uint32_t word : places) {
      words_.merge(word, top.pair, id, [&](TokenPair pair, std::int64_t by) { note(pair, by, word); });
    }
    enqueue();
  }

  // A pair that was merged twice keeps its last place.
  TrainedBpe result() const {
    TrainedBpe out;
    for (std::size_t id = 0; id < words_.vocabulary_size(); ++id) {
      out.vocabulary.emplace_back(words_.text(static_cast<std::uint32_t>(id)));
    }
    std::unordered_set<TokenPair> seen;
    for (std::size_t i = merges_.size(); i-- > 0;) {
      if (seen.insert(merges_[i]).second) out.merges.emplace_back(left_of(merges_[i]), right_of(merges_[i]));
    }
    std::reverse(out.merges.begin(), out.merges.end());
    return out;
  }

  const BpeTrainerOptions& options_;
  BpeTrainerWords words_;
  PairCounts pairs_;
  std::vector<std::size_t> fresh_;                  // pairs that came since the last merge
  std::vector<std::vector<std::uint32_t>> places_;  // lists of words, ascending
  std::priority_queue<Queued> queue_;
  std::vector<TokenPair> merges_;
};

}  // namespace

TrainedBpe train_bpe(const WordCounts& counts, const BpeTrainerOptions& options) {
  return BpeTrainer(counts, options).train();
}

}  // namespace powerhouse
