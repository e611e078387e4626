// DecodeStream: bytes of a character that is not whole yet wait for the next token (four at most, so memory is
// constant). The same steps over the same bytes as replace_invalid_utf8, hence the same text as Tokenizer::decode.
#include "powerhouse/tokenizer.h"
#include "support/utf8.h"
#include "text/tokenizer_impl.h"

namespace powerhouse {

struct DecodeStream::State {
  std::shared_ptr<const Tokenizer::Impl> tokenizer;
  DecodeOptions options;
  std::string pending;  // the beginning of a character
  bool first = true;
};

DecodeStream::DecodeStream(const Tokenizer& tokenizer, DecodeOptions options)
    : state_(std::make_unique<State>(State{tokenizer.impl_, options, {}, true})) {}
DecodeStream::DecodeStream(const DecodeStream& other) : state_(std::make_unique<State>(*other.state_)) {}
DecodeStream::DecodeStream(DecodeStream&&) noexcept = default;
DecodeStream& DecodeStream::operator=(const DecodeStream& other) {
  if (this != &other) state_ = std::make_unique<State>(*other.state_);
  return *this;
}
DecodeStream& DecodeStream::operator=(DecodeStream&&) noexcept = default;
DecodeStream::~DecodeStream() = default;

std::string DecodeStream::step(std::int64_t id) {
  const Tokenizer::Impl& tokenizer = *state_->tokenizer;
  if (state_->options.skip_special_tokens && tokenizer.is_special(id)) return {};
  std::string& bytes = state_->pending;
  std::string token;
  tokenizer.append_bytes(token, id);  // before anything changes: an id out of range leaves the stream as it was
  if (!state_->first && tokenizer.decoder == TokenDecoder::joined_by_blanks) bytes += ' ';
  state_->first = false;
  bytes += token;

  std::string out;
  std::size_t at = 0;
  while (at < bytes.size()) {
    const Utf8Step step = decode_utf8(std::string_view(bytes).substr(at));
    if (step.incomplete) break;
    if (step.valid) {
      out.append(bytes, at, step.length);
    } else {
      append_utf8(out, 0xFFFD);
    }
    at += step.length;
  }
  bytes.erase(0, at);
  return out;
}

std::string DecodeStream::finish() {
  std::string out = replace_invalid_utf8(state_->pending);
  state_->pending.clear();
  state_->first = true;
  return out;
}

}  // namespace powerhouse
