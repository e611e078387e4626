// One case of tests/oracles/tokenizer_json_parts.py: what `tokenizers` says of a text, or of ids to decode.
#pragma once

#include <string>
#include <vector>

#include "json_numbers.h"
#include "powerhouse/error.h"
#include "powerhouse/tokenizer.h"
#include "support/json.h"

namespace powerhouse::testing {

inline std::string shown(const std::vector<std::int64_t>& values) {
  std::string out = "[";
  for (const std::int64_t value : values) out.append(out.size() == 1 ? "" : " ").append(std::to_string(value));
  return out + "]";
}

inline std::vector<std::int64_t> flat(const std::vector<TokenOffsets>& offsets) {
  std::vector<std::int64_t> out;
  for (const TokenOffsets& range : offsets) {
    out.push_back(static_cast<std::int64_t>(range.begin));
    out.push_back(static_cast<std::int64_t>(range.end));
  }
  return out;
}

inline std::string stream_all(const Tokenizer& tokenizer, const std::vector<std::int64_t>& ids, bool skip) {
  DecodeStream stream(tokenizer, {.skip_special_tokens = skip});
  std::string text;
  for (const std::int64_t id : ids) text += stream.step(id);
  return text + stream.finish();
}

/// Nothing where all is equal, else what differs first.
inline std::string difference(const Tokenizer& tokenizer, const Json& expected) {
  const auto differs = [](std::string what, const auto& ours, const auto& theirs) {
    return ours == theirs ? std::string() : what + ": " + Json(ours).dump() + " expected " + Json(theirs).dump();
  };
  const auto lists_differ = [&](std::string what, const std::vector<std::int64_t>& ours, const char* key) {
    return differs(what, shown(ours), shown(integers(expected.at(key))));
  };
  std::string found;
  const std::vector<std::int64_t> ids = integers(expected.at("ids"));
  if (const Json* text = expected.get("text")) {
    const bool special = expected.bool_or("special", false);
    EncodingOptions options{.add_special_tokens = special};
    options.truncation = tokenizer.truncation();
    options.padding = tokenizer.padding();
    const Json* pair = expected.get("pair");
    const auto encode = [&] {
      return pair == nullptr ? tokenizer.encode_full(text->as_string(), options)
                             : tokenizer.encode_pair(text->as_string(), pair->as_string(), options);
    };
    const Encoding full = encode();
    options.offsets = false;
    const Encoding fast = encode();
    found = lists_differ("ids", full.ids, "ids");
    if (found.empty()) found = lists_differ("ids without offsets", fast.ids, "ids");
    if (found.empty()) found = lists_differ("offsets", flat(full.offsets), "offsets");
    if (found.empty() && special) {
      for (const Encoding& encoding : {full, fast}) {
        if (found.empty()) found = lists_differ("types", encoding.type_ids, "types");
        if (found.empty()) found = lists_differ("special tokens", encoding.special_tokens_mask, "mask");
        if (found.empty()) found = lists_differ("attention", encoding.attention_mask, "attention");
      }
      return found;
    }
  }
  if (expected.get("decoded") == nullptr) return found;
  const std::string& decoded = expected.at("decoded").as_string();
  const std::string skipped = expected.string_or("skipped", decoded);
  if (found.empty()) found = differs("decoded", tokenizer.decode(ids), decoded);
  if (found.empty()) found = differs("skipped", tokenizer.decode(ids, {.skip_special_tokens = true}), skipped);
  const bool broken = decoded.find("\xEF\xBF\xBD") != std::string::npos;  // a stream may show it elsewhere
  if (found.empty() && !broken) found = differs("stream", stream_all(tokenizer, ids, false), decoded);
  if (found.empty() && !broken) found = differs("stream, skipped", stream_all(tokenizer, ids, true), skipped);
  return found;
}

}  // namespace powerhouse::testing
