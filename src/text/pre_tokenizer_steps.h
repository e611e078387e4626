// The steps of a pre-tokenizer that cut: each gives its pieces from left to right, as views into the text.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/normalizer_steps.h"
#include "text/pattern.h"
#include "text/piece_sink.h"
#include "text/splitters.h"

namespace powerhouse {

class PreTokenizerStep {
 public:
  virtual ~PreTokenizerStep() = default;
  /// `text` is valid UTF-8 and not empty. Empty pieces may be given; they count for nothing.
  virtual void split(std::string_view text, PieceSink sink) const = 0;
};

/// What becomes of the matches of a pattern and of what lies between.
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

/// Digits: numbers apart from the rest, one by one or in runs.
class DigitsStep final : public PreTokenizerStep {
 public:
  explicit DigitsStep(bool individual) : individual_(individual) {}
  void split(std::string_view text, PieceSink sink) const override { split_digits(text, individual_, sink); }
  bool individual() const noexcept { return individual_; }

 private:
  bool individual_;
};

/// A pattern with a splitter of its own, every match one piece.
class KnownPatternStep final : public PreTokenizerStep {
 public:
  explicit KnownPatternStep(KnownPattern pattern) : pattern_(pattern) {}
  void split(std::string_view text, PieceSink sink) const override { pattern_.split(text, sink); }
  const KnownPattern& pattern() const noexcept { return pattern_; }

 private:
  KnownPattern pattern_;
};

/// Split: any regular expression, or a literal text. `invert` exchanges the matches and what lies between.
class PatternStep final : public PreTokenizerStep {
 public:
  PatternStep(Pattern pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}
  PatternStep(std::unique_ptr<const Regex> regex, SplitBehavior behavior, bool invert)
      : PatternStep(Pattern(std::move(regex)), behavior, invert) {}
  void split(std::string_view text, PieceSink sink) const override;

 private:
  Pattern pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

/// The characters that a CharacterStep looks for.
struct CharacterClass {
  enum class Kind { one, space, punctuation } kind = Kind::one;
  char32_t one = 0;

  explicit CharacterClass(char32_t character) : one(character) {}
  explicit CharacterClass(Kind named) : kind(named) {}
};

/// Cuts at single characters: Punctuation, WhitespaceSplit, CharDelimiterSplit, Metaspace's cut, BertPreTokenizer's
/// two.
class CharacterStep final : public PreTokenizerStep {
 public:
  CharacterStep(CharacterClass wanted, SplitBehavior behavior) : wanted_(wanted), behavior_(behavior) {}
  void split(std::string_view text, PieceSink sink) const override;

 private:
  CharacterClass wanted_;
  SplitBehavior behavior_;
};

/// Whitespace: runs of word characters and runs of other characters, without the spaces between.
class WordsStep final : public PreTokenizerStep {
 public:
  void split(std::string_view text, PieceSink sink) const override;
};

/// UnicodeScripts: runs of one script. Text before the first character that has one is dropped, as in `tokenizers`.
class ScriptsStep final : public PreTokenizerStep {
 public:
  void split(std::string_view text, PieceSink sink) const override;
};

/// FixedLength: pieces of so many characters.
class FixedLengthStep final : public PreTokenizerStep {
 public:
  explicit FixedLengthStep(std::size_t length) : length_(length) {}
  void split(std::string_view text, PieceSink sink) const override;

 private:
  std::size_t length_;
};

}  // namespace powerhouse
