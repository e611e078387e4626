// DecodeStream: the decoder's chain, fed one token at a time. What the chain completes is shown as far as it is whole
// UTF-8; a vocabulary may spell half a character where no byte decoder looks at it.
#include "powerhouse/tokenizer.h"
#include "support/utf8.h"
#include "text/tokenizer_impl.h"

namespace powerhouse {

struct DecodeStream::State {
  std::shared_ptr<const Tokenizer::Impl> tokenizer;
  DecodeOptions options;
  DecoderState decoder;
  std::string pending{};  // the beginning of a character
};

DecodeStream::DecodeStream(const Tokenizer& tokenizer, DecodeOptions options)
    : state_(std::make_unique<State>(State{tokenizer.impl_, options, tokenizer.impl_->decoder.start(true)})) {}
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
  if (state_->options.skip_special_tokens && tokenizer.is_skipped(id)) return {};
  tokenizer.decode_token(id, state_->decoder);  // an id out of range leaves the stream as it was
  std::string& bytes = state_->pending;
  bytes.append(state_->decoder.out);
  state_->decoder.out.clear();

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
  state_->tokenizer->decoder.finish(state_->decoder);
  std::string out = replace_invalid_utf8(state_->pending + state_->decoder.out);
  state_->pending.clear();
  state_->decoder = state_->tokenizer->decoder.start(true);
  return out;
}

}  // namespace powerhouse
