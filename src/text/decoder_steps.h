// The decoders of tokenizer.json: one small struct each.
#pragma once

#include <string>

#include "text/decoder.h"
#include "text/normalizer_steps.h"
#include "text/pattern.h"

namespace powerhouse {

/// ByteLevel: tokens spell bytes in the byte-level alphabet; what is no UTF-8 becomes U+FFFD.
struct BytesStep final : DecoderStep {
  void take(std::string_view token, StepState& state, PieceSink next) const override;
  void finish(StepState& state, PieceSink next) const override;
  bool joins() const override { return true; }
};

/// No decoder in the file: a blank between tokens.
struct BlanksStep final : DecoderStep {
  void take(std::string_view token, StepState& state, PieceSink next) const override;
};

struct FuseStep final : DecoderStep {
  void take(std::string_view token, StepState&, PieceSink next) const override { next(token); }
  bool takes_stretches() const override { return true; }
  bool joins() const override { return true; }
};

/// The byte that "<0xNN>" names, or -1. A plus sign passes for a digit, as in the number parser of `tokenizers`.
int byte_of_token(std::string_view token);

/// ByteFallback: runs of <0xNN> are their bytes where these are UTF-8 as a whole, else one U+FFFD a byte. A stream
/// shows each character as soon as it is whole, and so differs where a run breaks later.
struct ByteTokensStep final : DecoderStep {
  void take(std::string_view token, StepState& state, PieceSink next) const override;
  void finish(StepState& state, PieceSink next) const override;
};

/// WordPiece: a blank before each token but the first and those that go on with a word.
struct WordPieceStep final : DecoderStep {
  WordPieceStep(std::string prefix, bool cleanup) : prefix_(std::move(prefix)), cleanup_(cleanup) {}
  void take(std::string_view token, StepState& state, PieceSink next) const override;

 private:
  std::string prefix_;
  bool cleanup_;
};

/// Metaspace: the replacement is a blank; in the first token it is nothing where the scheme puts one there.
struct MetaspaceDecoderStep final : DecoderStep {
  MetaspaceDecoderStep(char32_t replacement, PrependScheme scheme);
  void take(std::string_view token, StepState& state, PieceSink next) const override;

 private:
  std::string replacement_;
  bool drops_first_;
};

/// BPEDecoder: the suffix of a word is a blank, but in the last token.
struct SuffixStep final : DecoderStep {
  explicit SuffixStep(std::string suffix) : suffix_(std::move(suffix)) {}
  void take(std::string_view token, StepState& state, PieceSink next) const override;
  void finish(StepState& state, PieceSink next) const override;

 private:
  std::string suffix_;
};

/// CTC: repeated tokens once, padding away, the delimiter a blank.
struct CtcStep final : DecoderStep {
  CtcStep(std::string pad, std::string delimiter, bool cleanup)
      : pad_(std::move(pad)), delimiter_(std::move(delimiter)), cleanup_(cleanup) {}
  void take(std::string_view token, StepState& state, PieceSink next) const override;

 private:
  std::string pad_, delimiter_;
  bool cleanup_;
};

/// Replace, in each token by itself.
struct ReplaceDecoderStep final : DecoderStep {
  ReplaceDecoderStep(Pattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void take(std::string_view token, StepState& state, PieceSink next) const override;

 private:
  Pattern pattern_;
  std::string content_;
};

/// Strip: up to `start` and `stop` times one character at the ends of each token.
struct StripStep final : DecoderStep {
  StripStep(char32_t content, std::size_t start, std::size_t stop, bool joined);
  void take(std::string_view token, StepState& state, PieceSink next) const override;
  void finish(StepState& state, PieceSink next) const override;
  bool takes_stretches() const override { return joined_; }

 private:
  void take_stretch(std::string_view text, StepState& state, PieceSink next) const;

  std::string content_;
  std::size_t start_, stop_;
  bool joined_;  // comes after a step that joins
};

/// transformers' clean_up_tokenization_spaces, over the whole text.
struct CleanUpStep final : DecoderStep {
  void take(std::string_view token, StepState& state, PieceSink next) const override;
  void finish(StepState& state, PieceSink next) const override;
  bool takes_stretches() const override { return true; }
  bool joins() const override { return true; }
};

}  // namespace powerhouse
