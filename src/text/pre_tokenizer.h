// PreTokenizer: cuts text into the pieces that the model encodes one by one. A chain of steps, each of which cuts the
// pieces of the step before; nothing is copied but by steps that change the text.
//
// A byte-level step at the end of the chain only cuts: the model takes raw bytes (Bpe::encode_bytes). Elsewhere it
// spells the bytes in its alphabet, and the steps after it see that.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/piece_sink.h"
#include "text/regex.h"
#include "text/splitters.h"

namespace powerhouse {

class PreTokenizerStep {
 public:
  virtual ~PreTokenizerStep() = default;
  virtual void split(std::string_view text, PieceSink sink) const = 0;
};

class PreTokenizer {
 public:
  void append(std::unique_ptr<const PreTokenizerStep> step) { steps_.push_back(std::move(step)); }
  /// Appends GPT-2's ByteLevel step.
  void append_byte_level(bool add_prefix_space, bool use_regex);
  /// Call once, after the last step.
  void finish();

  /// Whether pieces are raw bytes rather than text in the vocabulary's spelling.
  bool gives_bytes() const noexcept { return gives_bytes_; }
  void split(std::string_view text, PieceSink sink) const { split_from(0, text, sink); }

 private:
  void split_from(std::size_t step, std::string_view text, PieceSink sink) const;

  std::vector<std::unique_ptr<const PreTokenizerStep>> steps_;
  class ByteLevelStep* last_byte_level_ = nullptr;  // where it is the last step so far
  bool gives_bytes_ = false;
};

/// Digits: numbers apart from the rest, one by one or in runs.
class DigitsStep final : public PreTokenizerStep {
 public:
  explicit DigitsStep(bool individual) : individual_(individual) {}
  void split(std::string_view text, PieceSink sink) const override { split_digits(text, individual_, sink); }

 private:
  bool individual_;
};

/// A pattern with a splitter of its own, every match one piece.
class KnownPatternStep final : public PreTokenizerStep {
 public:
  explicit KnownPatternStep(KnownPattern pattern) : pattern_(pattern) {}
  void split(std::string_view text, PieceSink sink) const override { pattern_.split(text, sink); }

 private:
  KnownPattern pattern_;
};

/// What becomes of the matches of a pattern and of what lies between.
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

/// Split: any regular expression, or a literal text.
class PatternStep final : public PreTokenizerStep {
 public:
  PatternStep(std::unique_ptr<const Regex> regex, SplitBehavior behavior, bool invert)
      : regex_(std::move(regex)), behavior_(behavior), invert_(invert) {}
  PatternStep(std::string literal, SplitBehavior behavior, bool invert)
      : literal_(std::move(literal)), behavior_(behavior), invert_(invert) {}
  void split(std::string_view text, PieceSink sink) const override;

 private:
  std::vector<MatchRange> matches(std::string_view text) const;

  std::unique_ptr<const Regex> regex_;  // or else the literal
  std::string literal_;
  SplitBehavior behavior_;
  bool invert_;
};

}  // namespace powerhouse
