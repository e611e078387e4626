// Any bytes as a tokenizer.json: an Error, or a tokenizer that encodes and decodes without harm. Bytes after a NUL are
// the text that it encodes.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "powerhouse/error.h"
#include "powerhouse/log.h"
#include "support/utf8.h"
#include "text/tokenizer_impl.h"
#include "text/tokenizer_json.h"

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
        if (streamed != tokenizer.decode(ids)) std::abort();
        if (find_invalid_utf8(streamed)) std::abort();
      } catch (const Error& error) {
        // A pattern may exceed its match limit on this text; nothing else may fail now.
        if (error.kind() != ErrorKind::range) std::abort();
      }
    }
  } catch (const Error&) {
  }
  return 0;
}
