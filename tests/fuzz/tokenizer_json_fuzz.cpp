// Any bytes as a tokenizer.json: an Error, or a tokenizer that encodes and decodes without harm. Bytes after a NUL are
// the text that it encodes.
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "powerhouse/error.h"
#include "powerhouse/log.h"
#include "support/utf8.h"
#include "text/tokenizer_impl.h"
#include "text/tokenizer_json.h"

namespace {

// Offsets lie in the text and the two ways to encode agree; truncation and padding as the file says do no harm.
void check_encoding(const powerhouse::Tokenizer& tokenizer, const std::string& text, bool parse_special,
                    const std::vector<std::int64_t>& ids) {
  using namespace powerhouse;
  EncodingOptions options{.parse_special = parse_special};
  const Encoding encoding = tokenizer.encode_full(text, options);
  if (encoding.ids != ids || encoding.offsets.size() != ids.size()) std::abort();
  for (const TokenOffsets& range : encoding.byte_offsets) {
    if (range.begin > text.size() || range.end > text.size()) std::abort();
  }
  options.truncation = tokenizer.truncation();
  options.padding = tokenizer.padding();
  // Padding without end is the caller's affair.
  const auto absurd = [](std::size_t length) { return length > 1 << 20; };
  if (options.padding && (absurd(options.padding->length.value_or(0)) || absurd(options.padding->multiple_of))) return;
  try {
    (void)tokenizer.encode_full(text, options);
    (void)tokenizer.encode_pair(text, "a b", options);
  } catch (const Error& error) {
    const bool expected =
        error.kind() == ErrorKind::range || error.kind() == ErrorKind::usage || error.kind() == ErrorKind::unsupported;
    if (!expected) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace powerhouse;
  set_log_sink({});
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t end = input.find('\0');
  const std::string text =
      replace_invalid_utf8(end == std::string_view::npos ? "It's <b> 123\r\n  \u00e9e\u0301" : input.substr(end + 1));
  try {
    const Tokenizer tokenizer = Tokenizer::Impl::share(tokenizer_from_json(input.substr(0, end)));
    for (const bool parse_special : {true, false}) {
      try {
        const auto ids = tokenizer.encode(text, {.parse_special = parse_special});
        DecodeStream stream(tokenizer);
        std::string streamed;
        for (const std::int64_t id : ids) streamed += stream.step(id);
        streamed += stream.finish();
        const std::string decoded = tokenizer.decode(ids);
        // Where byte tokens are no UTF-8, a stream may show U+FFFD elsewhere.
        if (streamed != decoded && decoded.find("\xEF\xBF\xBD") == std::string::npos) std::abort();
        if (find_invalid_utf8(streamed) || find_invalid_utf8(decoded)) std::abort();
        check_encoding(tokenizer, text, parse_special, ids);
      } catch (const Error& error) {
        // A pattern may exceed its match limit on this text; nothing else may fail now.
        if (error.kind() != ErrorKind::range) std::abort();
      }
    }
  } catch (const Error&) {
  }
  return 0;
}
