// tokenizer.json: the model with its vocabulary and merges, added tokens, post-processor and decoder.
//
// The vocabulary and the merges are read straight from the text (JsonScanner); the rest of the file, with null in their
// places, is parsed as a Json, so every byte is parsed strictly by one of the two.
#include "text/tokenizer_json.h"

#include <algorithm>
#include <optional>

#include "powerhouse/error.h"
#include "powerhouse/log.h"
#include "text/json_scanner.h"
#include "text/tokenizer_impl.h"

namespace powerhouse {
namespace {

struct Span {
  std::size_t start = 0;
  std::size_t size = 0;
};

// Where model.vocab (if an object) and model.merges (if an array) stand.
struct Bulk {
  std::optional<Span> vocab, merges;
};

Bulk find_bulk(std::string_view text, std::string_view origin) {
  JsonScanner scanner(text, origin);
  std::string storage;
  // Calls `visit` with each key of the object that comes next; `visit` takes the value.
  const auto members = [&](auto visit) {
    scanner.expect('{');
    if (scanner.take('}')) return;
    do {
      const std::string key(scanner.string(storage));
      scanner.expect(':');
      visit(key);
    } while (scanner.take(','));
    scanner.expect('}');
  };
  const auto skip = [&] {
    scanner.peek();
    const std::size_t start = scanner.position();
    scanner.skip_value();
    return Span{start, scanner.position() - start};
  };
  Bulk bulk;
  members([&](const std::string& key) {
    if (key != "model" || scanner.peek() != '{') {
      skip();
      return;
    }
    bulk = {};
    members([&](const std::string& model_key) {
      const char first = scanner.peek();
      const Span span = skip();
      if (model_key == "vocab" && first == '{') bulk.vocab = span;
      if (model_key == "merges" && first == '[') bulk.merges = span;
    });
  });
  return bulk;
}

// The whole document without the bulk.
Json parse_rest(std::string_view text, std::string_view origin, const Bulk& bulk) {
  std::vector<Span> spans;
  if (bulk.vocab) spans.push_back(*bulk.vocab);
  if (bulk.merges) spans.push_back(*bulk.merges);
  std::sort(spans.begin(), spans.end(), [](const Span& a, const Span& b) { return a.start < b.start; });
  std::string rest;
  std::size_t done = 0;
  for (const Span& span : spans) {
    rest.append(text.substr(done, span.start - done)).append("null");
    done = span.start + span.size;
  }
  rest.append(text.substr(done));
  return Json::parse(rest, origin);
}

std::size_t count_quotes(std::string_view text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '"'));
}

void read_vocabulary(Vocabulary& vocabulary, std::string_view text, std::string_view origin, std::size_t base) {
  vocabulary.reserve(count_quotes(text) / 2, text.size());
  JsonScanner scanner(text, origin, base);
  std::string storage;
  scanner.expect('{');
  if (!scanner.take('}')) {
    do {
      const std::string_view token = scanner.string(storage);
      scanner.expect(':');
      vocabulary.add(token, scanner.integer());
    } while (scanner.take(','));
    scanner.expect('}');
  }
}

MergeTable read_merges(const Vocabulary& vocabulary, std::string_view text, std::string_view origin, std::size_t base) {
  JsonScanner scanner(text, origin, base);
  std::string left_storage;
  std::string right_storage;
  scanner.expect('[');
  const std::size_t strings = count_quotes(text) / 2;
  MergeLoader loader(vocabulary, scanner.peek() == '[' ? strings / 2 : strings, MergeLoader::Repeated::last_wins);
  if (!scanner.take(']')) {
    do {
      if (scanner.take('[')) {
        const std::string_view left = scanner.string(left_storage);
        scanner.expect(',');
        const std::string_view right = scanner.string(right_storage);
        scanner.expect(']');
        loader.add(left, right);
      } else {
        loader.add(scanner.string(left_storage));
      }
    } while (scanner.take(','));
    scanner.expect(']');
  }
  return loader.take();
}

void load_model(Tokenizer::Impl& tokenizer, const Json& model, std::string_view text, std::string_view origin,
                const Bulk& bulk) {
  const std::string type = model.string_or("type", bulk.merges ? "BPE" : "none");
  if (type != "BPE") refuse_component("model", type, "BPE");
  if (model.double_or("dropout", 0) != 0) refuse_component("model.dropout", model.at("dropout").dump(), "null");
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (const std::string found = model.string_or(affix, ""); !found.empty()) {
      refuse_component(std::string("model.") + affix, found, "null");
    }
  }
  if (!bulk.vocab || !bulk.merges) {
    throw Error(
        ErrorKind::format, "a BPE model without its table",
        {.field = bulk.vocab ? "model.merges" : "model.vocab", .expected = bulk.vocab ? "an array" : "an object"});
  }
  read_vocabulary(tokenizer.vocabulary, text.substr(bulk.vocab->start, bulk.vocab->size), origin, bulk.vocab->start);
  BpeOptions options{.unk_id = {},
                     .fuse_unk = model.bool_or("fuse_unk", false),
                     .byte_fallback = model.bool_or("byte_fallback", false),
                     .ignore_merges = model.bool_or("ignore_merges", false)};
  if (const Json* unknown = model.get("unk_token")) {
    const std::string& token = unknown->as_string("model.unk_token");
    options.unk_id = tokenizer.vocabulary.find(token);
    if (!options.unk_id) {
      throw Error(ErrorKind::format, "the vocabulary lacks the unknown token",
                  {.field = "model.unk_token", .found = token});
    }
    tokenizer.unk = options.unk_id;
  }
  const std::string_view merges = text.substr(bulk.merges->start, bulk.merges->size);
  tokenizer.model.emplace<Bpe>(tokenizer.vocabulary, read_merges(tokenizer.vocabulary, merges, origin, bulk.merges->start),
                          options);
}

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

// The ids that one side of a template adds; the other sequence of a pair has no place in a single one.
void load_template(Tokenizer::Impl& tokenizer, const Json& description) {
  const Json* specials = description.get("special_tokens");
  std::vector<std::int64_t> before;
  std::vector<std::int64_t> after;
  bool seen = false;
  for (const Json& item : description.at("single").as_array("post_processor.single")) {
    if (const Json* sequence = item.get("Sequence")) {
      const std::string& name = sequence->at("id").as_string("post_processor.single.Sequence.id");
      if (seen || name != "A") {
        throw Error(ErrorKind::format, "a template for one sequence holds another",
                    {.field = "post_processor.single", .expected = "A once", .found = name});
      }
      seen = true;
      continue;
    }
    const std::string& name = item.at("SpecialToken").at("id").as_string("post_processor.single.SpecialToken.id");
    const Json* token = specials == nullptr ? nullptr : specials->get(name);
    if (token == nullptr) {
      throw Error(ErrorKind::format, "a template names an unknown special token",
                  {.field = "post_processor.special_tokens", .found = name});
    }
    for (const Json& id : token->at("ids").as_array("post_processor.special_tokens.ids")) {
      const std::int64_t value = id.as_integer("post_processor.special_tokens.ids");
      tokenizer.text(value);  // Error{range} where the vocabulary lacks it
      (seen ? after : before).push_back(value);
    }
  }
  if (!seen) {
    throw Error(ErrorKind::format, "a template without the sequence", {.field = "post_processor.single"});
  }
  tokenizer.prefix.insert(tokenizer.prefix.begin(), before.begin(), before.end());
  tokenizer.suffix.insert(tokenizer.suffix.end(), after.begin(), after.end());
}

void load_post_processor(Tokenizer::Impl& tokenizer, const Json* description) {
  if (description == nullptr) return;
  const std::string& type = description->at("type").as_string("post_processor.type");
  if (type == "ByteLevel") return;  // trims offsets, leaves ids
  if (type == "TemplateProcessing") return load_template(tokenizer, *description);
  if (type == "Sequence") {
    for (const Json& part : description->at("processors").as_array("post_processor.processors")) {
      load_post_processor(tokenizer, &part);
    }
    return;
  }
  refuse_component("post_processor", type, "ByteLevel, TemplateProcessing, Sequence");
}

// Decoders of a sequence, one by one: `current` is what those before amount to.
TokenDecoder load_decoder(const Json& description, TokenDecoder current) {
  const std::string& type = description.at("type").as_string("decoder.type");
  if (type == "ByteLevel" && current == TokenDecoder::joined_by_blanks) return TokenDecoder::byte_level;
  if (type == "Fuse") return current == TokenDecoder::byte_level ? current : TokenDecoder::joined;
  if (type == "Sequence") {
    for (const Json& part : description.at("decoders").as_array("decoder.decoders"))
      current = load_decoder(part, current);
    return current == TokenDecoder::joined_by_blanks ? TokenDecoder::joined : current;
  }
  refuse_component("decoder", type, "ByteLevel (first), Fuse, Sequence");
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
  const Bulk bulk = find_bulk(text, origin);
  const Json rest = parse_rest(text, origin, bulk);
  load_model(*tokenizer, rest.at("model"), text, origin, bulk);
  tokenizer->normalizer = load_normalizer(rest.get("normalizer"));
  tokenizer->pre_tokenizer = load_pre_tokenizer(rest.get("pre_tokenizer"));
  load_added_tokens(*tokenizer, rest.get("added_tokens"));
  load_post_processor(*tokenizer, rest.get("post_processor"));
  tokenizer->decoder = TokenDecoder::joined_by_blanks;
  if (const Json* decoder = rest.get("decoder")) {
    tokenizer->decoder = load_decoder(*decoder, TokenDecoder::joined_by_blanks);
  }
  return tokenizer;
}

}  // namespace powerhouse
