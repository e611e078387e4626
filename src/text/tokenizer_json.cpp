// tokenizer.json: its parts put together, with added tokens, truncation and padding.
//
// The vocabulary and the merges are read straight from the text (tokenizer_json_model.cpp); the rest of the file, with
// null in their places, is parsed as a Json, so every byte is parsed strictly by one of the two.
#include "text/tokenizer_json.h"

#include <algorithm>

#include "powerhouse/error.h"
#include "powerhouse/log.h"
#include "text/tokenizer_impl.h"

namespace powerhouse {
namespace {

void load_added_tokens(Tokenizer::Impl& tokenizer, const Json* list) {
  if (list == nullptr) return;
  for (const Json& description : list->as_array("added_tokens")) {
    AddedToken token = read_added_token(description);
    const std::int64_t declared = description.at("id").as_integer("added_tokens.id");
    const std::string content = token.content;
    add_token(tokenizer, std::move(token));
    const AddedToken* added = tokenizer.added.find(content);
    if (added != nullptr && added->id != declared) {
      log(LogLevel::warning, "added token \"" + content + "\" says id " + std::to_string(declared) + " and has id " +
                                 std::to_string(added->id) + ", as tokenizers numbers it");
    }
  }
}

Side read_side(const Json& description, std::string_view place) {
  const std::string side = description.string_or("direction", "Right");
  if (side == "Right") return Side::right;
  if (side == "Left") return Side::left;
  throw Error(ErrorKind::format, "unknown direction",
              {.field = std::string(place), .expected = "Left or Right", .found = side});
}

std::size_t read_length(const Json& value, std::string_view place) {
  const std::int64_t length = value.as_integer(place);
  if (length < 0) {
    throw Error(ErrorKind::format, "a negative length", {.field = std::string(place), .found = std::to_string(length)});
  }
  return static_cast<std::size_t>(length);
}

std::optional<TruncationOptions> load_truncation(const Json* description) {
  if (description == nullptr) return std::nullopt;
  using Strategy = TruncationOptions::Strategy;
  TruncationOptions out{.max_length = read_length(description->at("max_length"), "truncation.max_length"),
                        .side = read_side(*description, "truncation.direction")};
  const std::string strategy = description->string_or("strategy", "LongestFirst");
  if (strategy == "OnlyFirst") {
    out.strategy = Strategy::only_first;
  } else if (strategy == "OnlySecond") {
    out.strategy = Strategy::only_second;
  } else if (strategy != "LongestFirst") {
    throw Error(
        ErrorKind::format, "unknown truncation strategy",
        {.field = "truncation.strategy", .expected = "LongestFirst, OnlyFirst or OnlySecond", .found = strategy});
  }
  return out;
}

std::optional<PaddingOptions> load_padding(const Json* description) {
  if (description == nullptr) return std::nullopt;
  PaddingOptions out{.side = read_side(*description, "padding.direction"),
                     .pad_id = description->integer_or("pad_id", 0),
                     .pad_type_id = description->integer_or("pad_type_id", 0)};
  if (const Json* multiple = description->get("pad_to_multiple_of")) {
    out.multiple_of = std::max<std::size_t>(read_length(*multiple, "padding.pad_to_multiple_of"), 1);
  }
  const Json* strategy = description->get("strategy");
  if (strategy != nullptr && strategy->is_object()) {
    out.length = read_length(strategy->at("Fixed"), "padding.strategy.Fixed");
  } else if (strategy != nullptr && strategy->as_string("padding.strategy") != "BatchLongest") {
    throw Error(
        ErrorKind::format, "unknown padding strategy",
        {.field = "padding.strategy", .expected = "BatchLongest or {\"Fixed\": n}", .found = strategy->as_string()});
  }
  return out;
}

}  // namespace

void add_token(Tokenizer::Impl& tokenizer, AddedToken token) {
  if (token.content.empty()) return;
  if (const AddedToken* same = tokenizer.added.find(token.content)) {
    token.id = same->id;
  } else if (const auto known = tokenizer.vocabulary.find(token.content)) {
    token.id = *known;
  } else {
    token.id = static_cast<std::int64_t>(std::max(tokenizer.vocabulary.count(), tokenizer.added_end));
    if (tokenizer.vocabulary.contains(token.id)) {
      throw Error(ErrorKind::format, "the vocabulary leaves holes where an added token belongs",
                  {.field = "added_tokens", .found = token.content});
    }
  }
  tokenizer.added_end = std::max(tokenizer.added_end, static_cast<std::size_t>(token.id) + 1);
  tokenizer.added.add(std::move(token));
}

AddedToken read_added_token(const Json& description) {
  const bool special = description.bool_or("special", false);
  return {.content = description.at("content").as_string("added_tokens.content"),
          .special = special,
          .single_word = description.bool_or("single_word", false),
          .lstrip = description.bool_or("lstrip", false),
          .rstrip = description.bool_or("rstrip", false),
          .normalized = description.bool_or("normalized", !special)};
}

std::shared_ptr<Tokenizer::Impl> load_tokenizer_json(std::string_view text, std::string_view origin) {
  auto tokenizer = std::make_shared<Tokenizer::Impl>();
  const Json rest = load_model(*tokenizer, text, origin);
  tokenizer->normalizer = load_normalizer(rest.get("normalizer"));
  const bool takes_bytes =
      std::holds_alternative<Bpe>(tokenizer->model) && std::get<Bpe>(tokenizer->model).takes_bytes();
  tokenizer->pre_tokenizer = load_pre_tokenizer(rest.get("pre_tokenizer"), takes_bytes);
  load_added_tokens(*tokenizer, rest.get("added_tokens"));
  load_post_processor(*tokenizer, rest.get("post_processor"));
  tokenizer->decoder = load_decoder(rest.get("decoder"));
  tokenizer->truncation = load_truncation(rest.get("truncation"));
  tokenizer->padding = load_padding(rest.get("padding"));
  return tokenizer;
}

}  // namespace powerhouse
