#include "text/unigram_trainer.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "powerhouse/error.h"
#include "support/thread_team.h"
#include "support/utf8.h"
#include "text/unicode.h"
#include "text/unigram_lattice.h"
#include "text/unigram_seed.h"

namespace powerhouse {
namespace {

using Pieces = std::vector<UnigramPiece>;

// The name of the unknown token while training; never part of the result.
constexpr const char* kTrainingUnknown = "<UNK>";

double digamma(double x) {
  double result = 0;
  for (; x < 7; x += 1) result -= 1 / x;
  x -= 0.5;
  const double y = 1 / x;
  const double y2 = y * y;
  const double y4 = y2 * y2;
  result +=
      std::log(x) + (1.0 / 24.0) * y2 - 7.0 / 960.0 * y4 + (31.0 / 8064.0) * y4 * y2 - (127.0 / 30720.0) * y4 * y4;
  return result;
}

// Calls body(item) for all of [0, count) on the team; who takes what is left to chance.
template <typename Body>
void for_each_in_parallel(std::size_t count, std::size_t at_once, Body&& body) {
  claim_items(static_cast<std::int64_t>((count + at_once - 1) / at_once), [&](const auto& claim) {
    for (std::size_t begin = 0; (begin = static_cast<std::size_t>(claim()) * at_once) < count;) {
      body(begin, std::min(begin + at_once, count));
    }
  });
}

class UnigramTrainer {
 public:
  UnigramTrainer(const WordCounts& counts, const UnigramTrainerOptions& options)
      : words_(counts.words()), options_(options), desired_size_(options.vocab_size * 11 / 10) {
    check();
    check_words();
    const auto seed = unigram_seed(counts, options.max_piece_length, options.seed_size);
    pieces_.emplace_back(kTrainingUnknown, std::numeric_limits<double>::quiet_NaN());
    double sum = 0;
    for (const auto& [text, score] : seed) sum += static_cast<double>(score);
    const double log_of_sum = std::log(sum);
    for (const auto& [text, score] : seed) {
      pieces_.emplace_back(text, std::log(static_cast<double>(score)) - log_of_sum);
    }
  }

  TrainedUnigram train() {
    const std::set<std::string> characters = required_characters();
    if (characters.size() > options_.vocab_size) {
      throw Error(ErrorKind::range, "the vocabulary is smaller than the alphabet of the text",
                  {.field = "vocab_size",
                   .expected = std::to_string(characters.size()) + " or more",
                   .found = std::to_string(options_.vocab_size)});
    }
    for (;;) {
      for (std::size_t i = 0; i < options_.n_sub_iterations; ++i) maximize(expected_counts());
      if (pieces_.size() <= desired_size_) break;
      const std::size_t before = pieces_.size();
      prune();
      if (pieces_.size() == before) {
        throw Error(ErrorKind::numeric, "no more pieces can be dropped",
                    {.field = "vocab_size",
                     .expected = std::to_string(before) + " or more",
                     .found = std::to_string(options_.vocab_size)});
      }
    }
    return finish(characters);
  }

 private:
  void check() const {
    if (!(options_.shrinking_factor > 0 && options_.shrinking_factor < 1)) {
      throw Error(ErrorKind::usage, "pieces can't shrink so",
                  {.field = "shrinking_factor",
                   .expected = "between 0 and 1",
                   .found = std::to_string(options_.shrinking_factor)});
    }
    if (options_.max_piece_length < 1 || options_.max_piece_length > 1000) {
      throw Error(
          ErrorKind::usage, "no such length of pieces",
          {.field = "max_piece_length", .expected = "1 to 1000", .found = std::to_string(options_.max_piece_length)});
    }
  }

  // A lattice takes some 50 bytes for each piece that stands somewhere in the word.
  void check_words() const {
    constexpr std::size_t kLongest = std::size_t{1} << 20;
    for (const WordCount& word : words_) {
      if (word.word.size() <= kLongest) continue;
      throw Error(ErrorKind::memory, "a word too long for a Unigram model",
                  {.field = "pre_tokenizer",
                   .expected = "one that leaves at most " + std::to_string(kLongest) + " bytes together",
                   .found = std::to_string(word.word.size())});
    }
  }

  std::set<std::string> required_characters() const {
    std::set<std::string> characters;
    const auto add = [&](std::string_view text, std::size_t at) {
      const std::size_t length = unicode::sequence_length(text[at]);
      characters.emplace(text.substr(at, length));
      return at + length;
    };
    std::vector<bool> seen(0x110000, false);
    for (const WordCount& word : words_) {
      for (std::size_t at = 0; at < word.word.size();) {
        const auto [character, length] = unicode::character_at(word.word, at);
        if (!seen[character]) add(word.word, at);
        seen[character] = true;
        at += length;
      }
    }
    for (const std::string& text : options_.initial_alphabet) {
      if (!text.empty()) add(text, 0);
    }
    return characters;
  }

  // E step. The words are summed in a number of parts that depends on the pieces alone (64 MB in all, 8 at least), and
  // the parts in their order: the same bits whatever the number of threads.
  std::vector<double> expected_counts() const {
    const UnigramPieces model(pieces_);
    const std::size_t parts =
        std::min(std::clamp<std::size_t>((std::size_t{8} << 20) / pieces_.size(), 8, 64), words_.size() + 1);
    std::vector<std::vector<double>> sums(parts);
    for_each_in_parallel(parts, 1, [&](std::size_t part, std::size_t) {
      std::vector<double>& sum = sums[part];
      sum.assign(pieces_.size(), 0);
      UnigramLattice lattice(model);
      const std::size_t end = words_.size() * (part + 1) / parts;
      for (std::size_t i = words_.size() * part / parts; i < end; ++i) {
        lattice.set(words_[i].word);
        lattice.add_expected(static_cast<double>(words_[i].count), sum);
      }
    });
    for (std::size_t part = 1; part < parts; ++part) {
      for (std::size_t id = 0; id < pieces_.size(); ++id) sums[0][id] += sums[part][id];
    }
    return std::move(sums[0]);
  }

  // M step: pieces that are hardly expected go; of the others exp(digamma(count)) takes the place of the count, which
  // makes rare ones rarer (Liang and Klein, 2007).
  void maximize(const std::vector<double>& expected) {
    constexpr double kLeast = 0.5;
    double sum = 0;
    Pieces kept{pieces_.front()};
    for (std::size_t id = 1; id < pieces_.size(); ++id) {
      if (expected[id] < kLeast) continue;
      kept.emplace_back(std::move(pieces_[id].first), expected[id]);
      sum += expected[id];
    }
    const double all = digamma(sum);
    for (std::size_t id = 1; id < kept.size(); ++id) kept[id].second = digamma(kept[id].second) - all;
    pieces_ = std::move(kept);
  }

  // How each piece is cut without itself: empty where it can't be, or where it isn't its own best cut.
  struct Alternative {
    bool keep = true;
    std::vector<std::uint32_t> ids;
  };

  std::vector<Alternative> find_alternatives(const UnigramPieces& model) const {
    std::vector<Alternative> alternatives(pieces_.size());
    for_each_in_parallel(pieces_.size(), 256, [&](std::size_t begin, std::size_t end) {
      UnigramLattice lattice(model);
      for (std::size_t id = std::max<std::size_t>(begin, 1); id < end; ++id) {
        lattice.set(pieces_[id].first);
        auto [best, second] = lattice.best_two();
        if (second.empty()) continue;
        alternatives[id].keep = best.size() == 1;
        if (best.size() == 1) alternatives[id].ids = std::move(second);
      }
    });
    return alternatives;
  }

  // How often each piece stands in the best cuts of the text: whole numbers, so that their order is no matter.
  std::vector<double> best_counts(const UnigramPieces& model) const {
    std::vector<std::atomic<std::uint64_t>> counts(pieces_.size());
    for_each_in_parallel(words_.size(), 256, [&](std::size_t begin, std::size_t end) {
      UnigramLattice lattice(model);
      for (std::size_t i = begin; i < end; ++i) {
        lattice.set(words_[i].word);
        for (const std::uint32_t id : lattice.best()) {
          counts[id].fetch_add(words_[i].count, std::memory_order_relaxed);
        }
      }
    });
    return {counts.begin(), counts.end()};
  }

  // Drops the pieces whose loss, were each replaced by its alternative, would cost the text's likelihood least.
  void prune() {
    const UnigramPieces model(pieces_);
    const std::vector<Alternative> alternatives = find_alternatives(model);
    const std::vector<double> count = best_counts(model);
    double all_words = 0;
    for (const WordCount& word : words_) all_words += static_cast<double>(word.count);
    double sum = 0;
    for (const double one : count) sum += one;
    const double log_of_sum = std::log(sum);
    std::vector<std::pair<std::size_t, double>> candidates;
    Pieces kept{pieces_.front()};
    for (std::size_t id = 1; id < pieces_.size(); ++id) {
      const std::vector<std::uint32_t>& others = alternatives[id].ids;
      if (count[id] == 0 && !alternatives[id].keep) continue;
      if (others.empty()) {
        kept.push_back(pieces_[id]);
        continue;
      }
      if (count[id] == 0) continue;
      // SentencePiece counts the alternative's pieces here; `tokenizers` up to 0.23.3 counts all pieces, and so do we.
      const double log_without = std::log(sum + count[id] * static_cast<double>(pieces_.size() - 1));
      double alternative = 0;
      for (const std::uint32_t other : others) alternative += std::log(count[other] + count[id]) - log_without;
      const double loss = count[id] / all_words * (std::log(count[id]) - log_of_sum - alternative);
      candidates.emplace_back(id, loss);
    }
    const std::size_t size = std::max(
        desired_size_, static_cast<std::size_t>(static_cast<double>(pieces_.size()) * options_.shrinking_factor));
    std::stable_sort(candidates.begin(), candidates.end(),
                     [](const auto& a, const auto& b) { return a.second > b.second; });
    for (const auto& [id, loss] : candidates) {
      if (kept.size() == size) break;
      kept.push_back(std::move(pieces_[id]));
    }
    pieces_ = std::move(kept);
  }

  // All characters, then the best pieces up to vocab_size. Characters that are no piece follow the least probable one
  // (in `tokenizers` in the order of a hash table, here by code point).
  TrainedUnigram finish(const std::set<std::string>& characters) const {
    constexpr double kStep = 0.0001;
    const UnigramPieces model(pieces_);
    if (!characters.empty() && pieces_.size() == 1) {  // `tokenizers` gives infinite scores and a file it can't load
      throw Error(ErrorKind::numeric, "no piece is left to score characters by", {.field = "texts"});
    }
    std::unordered_map<std::string_view, double> existing;
    for (const auto& [text, score] : pieces_) existing[text] = score;
    std::unordered_set<std::string> inserted{kTrainingUnknown};
    Pieces chosen;
    double penalty = 0;
    for (const std::string& character : characters) {
      inserted.insert(character);
      const auto found = existing.find(character);
      if (found != existing.end()) {
        chosen.emplace_back(character, found->second);
      } else {
        chosen.emplace_back(character, model.smallest_score() + penalty);
        penalty += kStep;
      }
    }
    TrainedUnigram out;
    const auto& specials = options_.special_tokens;
    bool add_unknown = false;
    if (!options_.unk_token.empty()) {
      const auto found = std::find(specials.begin(), specials.end(), options_.unk_token);
      add_unknown = found == specials.end();
      out.unk_id = add_unknown ? 0 : static_cast<std::size_t>(found - specials.begin());
    }
    // Where the characters alone reach this number it is passed over, and all pieces stay; so it is in `tokenizers`.
    const std::size_t room = options_.vocab_size - specials.size() - (add_unknown ? 1 : 0);
    for (const auto& [text, score] : pieces_) {
      if (!inserted.insert(text).second) continue;
      chosen.emplace_back(text, std::isnan(score) ? 0 : score);
      if (chosen.size() == room) break;
    }
    std::stable_sort(chosen.begin(), chosen.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
    if (add_unknown) out.pieces.emplace_back(options_.unk_token, 0);
    for (const std::string& special : specials) out.pieces.emplace_back(special, 0);
    out.pieces.insert(out.pieces.end(), chosen.begin(), chosen.end());
    return out;
  }

  const std::vector<WordCount>& words_;
  const UnigramTrainerOptions& options_;
  std::size_t desired_size_;
  Pieces pieces_;  // the first is the unknown token
};

}  // namespace

TrainedUnigram train_unigram(const WordCounts& counts, const UnigramTrainerOptions& options) {
  return UnigramTrainer(counts, options).train();
}

}  // namespace powerhouse
