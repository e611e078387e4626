#include "text/pre_tokenizer.h"

#include <algorithm>

#include "text/byte_level.h"

namespace powerhouse {

// ByteLevel of `tokenizers`: a blank before the piece if asked, GPT-2's pattern if asked, then the alphabet.
class ByteLevelStep final : public PreTokenizerStep {
 public:
  ByteLevelStep(bool add_prefix_space, bool use_regex) : add_prefix_space_(add_prefix_space), use_regex_(use_regex) {}

  void split(std::string_view text, PieceSink sink) const override {
    std::string prefixed;
    if (add_prefix_space_ && !text.starts_with(' ')) {
      prefixed.reserve(text.size() + 1);
      prefixed.append(1, ' ').append(text);
      text = prefixed;
    }
    std::string spelled;
    const auto give = [&](std::string_view piece) {
      if (!spells_) return sink(piece);
      spelled.clear();
      append_byte_level(spelled, piece);
      sink(spelled);
    };
    if (use_regex_) {
      split_gpt2(text, give);
    } else {
      give(text);
    }
  }

  void leave_bytes() { spells_ = false; }

 private:
  bool add_prefix_space_;
  bool use_regex_;
  bool spells_ = true;
};

void PreTokenizer::append_byte_level(bool add_prefix_space, bool use_regex) {
  auto step = std::make_unique<ByteLevelStep>(add_prefix_space, use_regex);
  last_byte_level_ = step.get();
  steps_.push_back(std::move(step));
}

void PreTokenizer::finish() {
  if (last_byte_level_ == nullptr || steps_.back().get() != last_byte_level_) return;
  last_byte_level_->leave_bytes();
  gives_bytes_ = true;
}

void PreTokenizer::split_from(std::size_t step, std::string_view text, PieceSink sink) const {
  if (text.empty()) return;
  if (step == steps_.size()) return sink(text);
  steps_[step]->split(text, [&](std::string_view piece) { split_from(step + 1, piece, sink); });
}

std::vector<MatchRange> PatternStep::matches(std::string_view text) const {
  if (regex_) return regex_->find_all(text);
  std::vector<MatchRange> found;
  for (std::size_t at = text.find(literal_); at != std::string_view::npos; at = text.find(literal_, at)) {
    found.push_back({at, at + literal_.size()});
    at += literal_.size();
  }
  return found;
}

namespace {

struct Stretch {
  MatchRange range;
  bool matched = false;
};

// The text as stretches that match and stretches between; `invert` exchanges the two.
std::vector<Stretch> stretches(const std::vector<MatchRange>& matches, std::size_t size, bool invert) {
  std::vector<Stretch> out;
  std::size_t done = 0;
  for (const MatchRange& match : matches) {
    if (match.start != done) out.push_back({{done, match.start}, invert});
    out.push_back({match, !invert});
    done = match.end;
  }
  if (done != size) out.push_back({{done, size}, invert});
  return out;
}

}  // namespace

void PatternStep::split(std::string_view text, PieceSink sink) const {
  std::vector<Stretch> all = stretches(matches(text), text.size(), invert_);
  std::vector<MatchRange> pieces;
  const auto join_or_add = [&](bool join, const MatchRange& range) {
    if (join && !pieces.empty()) {
      pieces.back() = {std::min(pieces.back().start, range.start), std::max(pieces.back().end, range.end)};
    } else {
      pieces.push_back(range);
    }
  };
  bool previous = false;
  const auto walk = [&](auto first, auto last, auto joins) {
    for (auto at = first; at != last; ++at) {
      join_or_add(joins(at->matched), at->range);
      previous = at->matched;
    }
  };
  switch (behavior_) {
    case SplitBehavior::removed:
      for (const Stretch& stretch : all) {
        if (!stretch.matched) pieces.push_back(stretch.range);
      }
      break;
    case SplitBehavior::isolated:
      for (const Stretch& stretch : all) pieces.push_back(stretch.range);
      break;
    case SplitBehavior::contiguous:
      walk(all.begin(), all.end(), [&](bool matched) { return matched == previous; });
      break;
    case SplitBehavior::merged_with_previous:
      walk(all.begin(), all.end(), [&](bool matched) { return matched && !previous; });
      break;
    case SplitBehavior::merged_with_next:
      walk(all.rbegin(), all.rend(), [&](bool matched) { return matched && !previous; });
      std::reverse(pieces.begin(), pieces.end());
      break;
  }
  for (const MatchRange& piece : pieces) {
    if (piece.start != piece.end) sink(text.substr(piece.start, piece.end - piece.start));
  }
}

}  // namespace powerhouse
