// PreTokenizer: cuts text into the pieces that the model encodes one by one. A chain of steps: those that cut
// (text/pre_tokenizer_steps.h) give views into the pieces of the step before, those that rewrite give new text.
//
// A byte-level step at the end of the chain only cuts where the model takes raw bytes (Bpe::encode_bytes). Elsewhere it
// spells the bytes in its alphabet, and the steps after it see that.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "text/aligned_text.h"
#include "text/piece_sink.h"
#include "text/pre_tokenizer_steps.h"
#include "text/word_scanner.h"

namespace powerhouse {

class PreTokenizer {
 public:
  void append(std::unique_ptr<const PreTokenizerStep> step) { add(std::move(step)); }
  void append(std::unique_ptr<const RewriteStep> step) { add(std::move(step)); }
  /// Appends GPT-2's ByteLevel step: a blank before the piece, its pattern, its alphabet.
  void append_byte_level(bool add_prefix_space, bool use_regex);
  /// Appends Metaspace's: blanks spelled by `replacement`, put before the piece as the scheme says, then cut before
  /// each.
  void append_metaspace(char32_t replacement, PrependScheme scheme, bool split);
  /// Call once, after the last step; whether the model takes raw bytes.
  void finish(bool takes_bytes = true);

  /// Whether pieces of split() are raw bytes rather than text in the vocabulary's spelling.
  bool gives_bytes() const noexcept { return gives_bytes_; }
  /// Whether pieces depend on where the text stood in the original (Metaspace, "first").
  bool needs_start() const noexcept { return needs_start_; }

  /// The rule that gives the same pieces as split(), where there is one.
  const std::optional<WordRule>& word_rule() const noexcept { return word_rule_; }

  /// `start`: where the text begins in the original; only whether it is 0 counts.
  void split(std::string_view text, PieceSink sink, std::size_t start = 0) const;
  /// The pieces with their origins, byte-level ones spelled.
  template <typename Sink>
  void split_tracked(const AlignedText& text, const Sink& sink) const {
    walk(0, steps_.size(), text, sink);
  }

 private:
  using Step = std::variant<std::unique_ptr<const PreTokenizerStep>, std::unique_ptr<const RewriteStep>>;

  void add(Step step) {
    steps_.push_back(std::move(step));
    last_spells_bytes_ = false;
  }

  std::optional<WordRule> find_word_rule() const;

  template <typename Sink>
  void walk(std::size_t step, std::size_t end, const AlignedText& text, const Sink& sink) const {
    if (text.text.empty()) return;
    if (step == end) return sink(text);
    if (const auto* cut = std::get_if<std::unique_ptr<const PreTokenizerStep>>(&steps_[step])) {
      (*cut)->split(text.text, [&](std::string_view piece) { walk(step + 1, end, text.slice(piece), sink); });
      return;
    }
    TextBuffer buffer;
    const bool rewritten = std::get<std::unique_ptr<const RewriteStep>>(steps_[step])->rewrite(text, buffer);
    walk(step + 1, end, rewritten ? buffer.as(text) : text, sink);
  }

  std::vector<Step> steps_;
  bool last_spells_bytes_ = false;
  bool gives_bytes_ = false;
  bool needs_start_ = false;
  std::optional<WordRule> word_rule_;
};

}  // namespace powerhouse
