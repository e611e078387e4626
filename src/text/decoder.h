// DecoderChain: from the texts of tokens to the text of a sequence, as tokenizer.json's decoders do it. A chain of
// small steps (text/decoder_steps.h), each of which takes tokens and gives tokens.
//
// A chain runs on a DecoderState, token by token, so that whole sequences and streams decode by one piece of code; what
// later tokens may still change is held back in the state. After Fuse or ByteLevel there is one token only: it passes
// on in stretches, to steps that take those, or is kept whole for the others.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/piece_sink.h"

namespace powerhouse {

/// What a step remembers between two tokens.
struct StepState {
  std::string held;
  std::size_t tokens = 0;  // taken so far
  std::size_t count = 0;
  bool begun = false;
  bool eager = false;     // stream: show what is whole at once
  bool verbatim = false;  // this token stands for itself
};

class DecoderStep {
 public:
  virtual ~DecoderStep() = default;
  /// Takes a whole token, or a stretch of the only one where takes_stretches(). Texts are valid UTF-8 but for the
  /// vocabulary's own spellings.
  virtual void take(std::string_view token, StepState& state, PieceSink next) const = 0;
  /// Gives what is held back.
  virtual void finish(StepState&, PieceSink) const {}
  virtual bool takes_stretches() const { return false; }
  /// Whether all tokens become one.
  virtual bool joins() const { return false; }
};

struct DecoderState {
  std::vector<StepState> steps;
  std::vector<std::string> whole;  // the only token, for steps that do not take stretches
  std::string out;
  std::size_t budget = 0;  // bytes that steps may still pass on: Replace can double a text again and again
};

class DecoderChain {
 public:
  /// Tokens as they stand, one after the other.
  DecoderChain() = default;
  /// The decoder of byte-level models, which is also what a tokenizer has until a loader says otherwise.
  static DecoderChain byte_level();

  void append(std::unique_ptr<const DecoderStep> step);
  /// Whether the next step would see one token only.
  bool joined() const noexcept { return joined_at_ < steps_.size(); }

  DecoderState start(bool stream) const;
  /// Appends to state.out what `token` completes; `verbatim` tokens pass ByteLevel as they are.
  /// Error{range} where the steps blow a text up out of all proportion.
  void take(std::string_view token, bool verbatim, DecoderState& state) const;
  void finish(DecoderState& state) const;

 private:
  void run(std::size_t step, std::string_view token, bool verbatim, DecoderState& state) const;
  bool keeps_whole(std::size_t step) const { return step > joined_at_ && !steps_[step]->takes_stretches(); }

  std::vector<std::unique_ptr<const DecoderStep>> steps_;
  std::size_t joined_at_ = static_cast<std::size_t>(-1);  // the first step that joins
};

/// `text` with each `from` replaced by `to`, as Rust and Python replace (an empty `from` lies between all characters).
std::string replace_all(std::string_view text, std::string_view from, std::string_view to);

}  // namespace powerhouse
