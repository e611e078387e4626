#include "text/decoder_steps.h"

#include <algorithm>

#include "powerhouse/error.h"
#include "support/hex_digit.h"
#include "support/utf8.h"
#include "text/byte_level.h"
#include "text/unicode.h"

namespace powerhouse {
namespace {

constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

// Gives the whole characters of `bytes`, invalid sequences as U+FFFD, and leaves an unfinished one.
void give_characters(std::string& bytes, PieceSink next) {
  std::string out;
  std::size_t at = 0;
  while (at < bytes.size()) {
    const Utf8Step step = decode_utf8(std::string_view(bytes).substr(at));
    if (step.incomplete) break;
    if (step.valid) {
      out.append(bytes, at, step.length);
    } else {
      out.append(kReplacementCharacter);
    }
    at += step.length;
  }
  bytes.erase(0, at);
  if (!out.empty()) next(out);
}

// WordPiece's cleanup.
std::string clean_word_piece(std::string text) {
  static constexpr std::string_view kRules[][2] = {
      {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
      {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  if (text.find(' ') == std::string::npos) return text;
  for (const auto& [from, to] : kRules) text = replace_all(text, from, to);
  return text;
}

std::string clean_up(std::string text) {
  static constexpr std::string_view kRules[][2] = {{" .", "."},     {" ?", "?"},     {" !", "!"},   {" ,", ","},
                                                   {" ' ", "'"},    {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"},
                                                   {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kRules) text = replace_all(text, from, to);
  return text;
}

}  // namespace

int byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return -1;
  const int low = hex_digit(token[4]);
  if (low < 0) return -1;
  if (token[3] == '+') return low;
  const int high = hex_digit(token[3]);
  return high < 0 ? -1 : high * 16 + low;
}

void BytesStep::take(std::string_view token, StepState& state, PieceSink next) const {
  if (state.verbatim) {
    state.held.append(token);
  } else {
    append_from_byte_level(state.held, token);
  }
  give_characters(state.held, next);
}

void BytesStep::finish(StepState& state, PieceSink next) const {
  if (!state.held.empty()) next(replace_invalid_utf8(state.held));
  state.held.clear();
}

void BlanksStep::take(std::string_view token, StepState& state, PieceSink next) const {
  if (state.tokens > 0) next(" ");
  next(token);
}

void ByteTokensStep::take(std::string_view token, StepState& state, PieceSink next) const {
  const int byte = byte_of_token(token);
  if (byte < 0) {
    finish(state, next);
    return next(token);
  }
  state.held += static_cast<char>(byte);
  while (state.eager && !state.held.empty()) {
    const Utf8Step step = decode_utf8(state.held);
    if (step.incomplete) break;
    if (step.valid) {
      next(state.held.substr(0, step.length));
    } else {
      for (std::size_t i = 0; i < step.length; ++i) next(kReplacementCharacter);
    }
    state.held.erase(0, step.length);
  }
}

void ByteTokensStep::finish(StepState& state, PieceSink next) const {
  if (state.held.empty()) return;
  if (!find_invalid_utf8(state.held)) {
    next(state.held);
  } else {
    for (std::size_t i = 0; i < state.held.size(); ++i) next(kReplacementCharacter);
  }
  state.held.clear();
}

void WordPieceStep::take(std::string_view token, StepState& state, PieceSink next) const {
  std::string out;
  if (state.tokens == 0) {
    out = token;
  } else if (token.starts_with(prefix_)) {
    out = token.substr(prefix_.size());
  } else {
    out.append(" ").append(token);
  }
  next(cleanup_ ? clean_word_piece(std::move(out)) : out);
}

MetaspaceDecoderStep::MetaspaceDecoderStep(char32_t replacement, PrependScheme scheme)
    : drops_first_(scheme != PrependScheme::never) {
  append_utf8(replacement_, replacement);
}

void MetaspaceDecoderStep::take(std::string_view token, StepState& state, PieceSink next) const {
  next(replace_all(token, replacement_, state.tokens == 0 && drops_first_ ? "" : " "));
}

void SuffixStep::take(std::string_view token, StepState& state, PieceSink next) const {
  if (state.tokens > 0) next(replace_all(state.held, suffix_, " "));
  state.held = token;
  if (!state.eager || suffix_.empty()) return;
  // What comes before a suffix does not change any more.
  const std::size_t sure = state.held.find(suffix_);
  if (sure != 0) next(std::string_view(state.held).substr(0, sure));
  state.held.erase(0, sure);
}

void SuffixStep::finish(StepState& state, PieceSink next) const {
  if (state.tokens > 0) next(replace_all(state.held, suffix_, ""));
  state.held.clear();
}

void CtcStep::take(std::string_view token, StepState& state, PieceSink next) const {
  if (state.tokens > 0 && token == state.held) return;
  state.held = token;
  std::string out = replace_all(token, pad_, "");
  if (cleanup_) out = replace_all(clean_word_piece(std::move(out)), delimiter_, " ");
  if (!out.empty()) next(out);
}

void ReplaceDecoderStep::take(std::string_view token, StepState&, PieceSink next) const {
  if (token.empty()) return next(token);
  std::string out;
  std::size_t done = 0;
  const std::size_t limit = 256 * token.size() + (std::size_t{1} << 16);
  for (const MatchRange& match : pattern_.find_all(token)) {
    if (out.size() + content_.size() > limit) {
      throw Error(ErrorKind::range, "a decoder makes a text too large", {.field = "decoder.content"});
    }
    out.append(token.substr(done, match.start - done)).append(content_);
    done = match.end;
  }
  next(out.append(token.substr(done)));
}

StripStep::StripStep(char32_t content, std::size_t start, std::size_t stop, bool joined)
    : start_(start), stop_(stop), joined_(joined) {
  append_utf8(content_, content);
}

void StripStep::take(std::string_view token, StepState& state, PieceSink next) const {
  if (joined_) return take_stretch(token, state, next);
  for (std::size_t i = 0; i < start_ && token.starts_with(content_); ++i) token.remove_prefix(content_.size());
  for (std::size_t i = 0; i < stop_ && token.ends_with(content_); ++i) token.remove_suffix(content_.size());
  next(token);
}

// Of a token that comes in stretches: the first ones may be cut (`count` were), the last ones are held until others
// come.
void StripStep::take_stretch(std::string_view text, StepState& state, PieceSink next) const {
  std::string out;
  while (!text.empty()) {
    if (!text.starts_with(content_)) {
      state.begun = true;
      out.append(state.held);
      state.held.clear();
      const std::size_t end = std::min(text.find(content_), text.size());
      out.append(text.substr(0, end));
      text.remove_prefix(end);
      continue;
    }
    text.remove_prefix(content_.size());
    if (!state.begun && state.count < start_) {
      ++state.count;
      continue;
    }
    state.begun = true;
    state.held.append(content_);
    if (state.held.size() > stop_ * content_.size()) {
      out.append(content_);
      state.held.erase(0, content_.size());
    }
  }
  if (!out.empty()) next(out);
}

void StripStep::finish(StepState& state, PieceSink) const { state.held.clear(); }

void CleanUpStep::take(std::string_view token, StepState& state, PieceSink next) const {
  std::string& held = state.held;
  held.append(token);
  if (held.empty()) return;
  // Rules are four characters at most and begin with a blank. None reaches over a blank, nor do two of them together,
  // unless a rule's sign stands beside it.
  constexpr std::string_view kSigns = " .?!,'";
  const auto is_sign = [&](std::size_t at) { return kSigns.find(held[at]) != std::string_view::npos; };
  const std::size_t blank = held.rfind(' ');
  std::size_t sure = blank == std::string::npos || held.size() - blank > 4 ? held.size() : 0;
  for (std::size_t at = sure == 0 ? held.size() - 1 : 0; at-- > 1;) {
    if (held[at] != ' ' || is_sign(at - 1) || is_sign(at + 1)) continue;
    sure = at;
    break;
  }
  if (sure == 0) return;
  next(clean_up(held.substr(0, sure)));
  held.erase(0, sure);
}

void CleanUpStep::finish(StepState& state, PieceSink next) const {
  if (!state.held.empty()) next(clean_up(std::move(state.held)));
  state.held.clear();
}

}  // namespace powerhouse
