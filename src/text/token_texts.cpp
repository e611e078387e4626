#include "text/token_texts.h"

#include <optional>

#include "powerhouse/error.h"
#include "text/byte_level.h"
#include "text/decoder_steps.h"
#include "text/tokenizer_impl.h"

namespace powerhouse {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

std::string decode(const DecoderChain& decoder, std::initializer_list<std::string_view> tokens) {
  DecoderState state = decoder.start(false);
  for (const std::string_view token : tokens) decoder.take(token, false, state);
  decoder.finish(state);
  return std::move(state.out);
}

// Tells what a chain of decoder steps makes of a token by trying it out between others.
class TokenProbe {
 public:
  explicit TokenProbe(const DecoderChain& decoder) : decoder_(decoder) {
    // Half a character, and its other half: in the byte-level alphabet, and as byte tokens.
    byte_level_ = decode(decoder, {"\u00C3"}) == kReplacement && decode(decoder, {"\u00C3", "\u00A9"}) == "\u00E9";
    byte_tokens_ = decode(decoder, {"<0xC3>", "<0xA9>"}) == "\u00E9";
  }

  std::string text(std::string_view spelled, bool first) const {
    if (byte_level_) {
      std::string out;
      append_from_byte_level(out, spelled);
      return out;
    }
    if (const int byte = byte_tokens_ ? byte_of_token(spelled) : -1; byte >= 0) {
      return std::string(1, static_cast<char>(byte));
    }
    if (first) return decode(decoder_, {spelled});
    const std::string once = decode(decoder_, {kAnchor, spelled});
    const std::string twice = decode(decoder_, {kAnchor, spelled, spelled});
    std::string out = once.starts_with(kAnchor) ? once.substr(kAnchor.size()) : "";
    if (once != std::string(kAnchor) + out || twice != std::string(kAnchor) + out + out) {
      throw Error(ErrorKind::unsupported, "the text of this tokenizer's tokens depends on the tokens beside them",
                  {.field = "token " + std::string(spelled)});
    }
    return out;
  }

 private:
  static constexpr std::string_view kAnchor = "a";
  const DecoderChain& decoder_;
  bool byte_level_ = false, byte_tokens_ = false;
};

}  // namespace

TokenTexts token_texts(const Tokenizer& tokenizer) {
  const Tokenizer::Impl& impl = tokenizer.impl();
  const std::optional<TokenProbe> probe =
      impl.pieces.kinds.empty() ? std::optional<TokenProbe>(impl.decoder) : std::nullopt;
  const auto text = [&](std::size_t id, bool first) {
    const std::string_view spelled = impl.text(static_cast<std::int64_t>(id));
    return probe ? probe->text(spelled, first) : impl.pieces.bytes(id, spelled, first);
  };
  TokenTexts out;
  out.texts.resize(impl.size());
  out.first_texts.resize(impl.size());
  bool differs = false;
  for (std::size_t id = 0; id < impl.size(); ++id) {
    const auto token = static_cast<std::int64_t>(id);
    if (!impl.contains(token) || impl.is_special(token) || impl.unk == token) continue;
    out.texts[id] = text(id, false);
    out.first_texts[id] = text(id, true);
    differs |= out.texts[id] != out.first_texts[id];
  }
  if (!differs) out.first_texts.clear();
  return out;
}

}  // namespace powerhouse
