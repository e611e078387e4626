#include "text/tokenizer_gguf.h"

#include "powerhouse/error.h"
#include "powerhouse/log.h"
#include "support/utf8.h"
#include "text/tokenizer_impl.h"

namespace powerhouse {
namespace {

// Token types of the GGUF specification.
enum TokenType : std::int64_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4 };

constexpr const char* kTokens = "tokenizer.ggml.tokens";
constexpr const char* kTypes = "tokenizer.ggml.token_type";
constexpr const char* kMerges = "tokenizer.ggml.merges";

const std::vector<std::string_view>& require_strings(const GgufFile& file, const char* key) {
  const auto* strings = file.strings(key);
  if (strings == nullptr) throw Error(ErrorKind::format, "missing key", {.file = file.path(), .field = key});
  return *strings;
}

void load_tokens(Tokenizer::Impl& tokenizer, const GgufFile& file) {
  const auto& tokens = require_strings(file, kTokens);
  std::size_t bytes = 0;
  for (const std::string_view token : tokens) bytes += token.size();
  tokenizer.vocabulary.reserve(tokens.size(), bytes);
  for (std::size_t id = 0; id < tokens.size(); ++id)
    tokenizer.vocabulary.add(tokens[id], static_cast<std::int64_t>(id));

  const auto types = file.integers(kTypes);
  if (!types) return;
  if (types->size() < tokens.size()) {
    throw Error(ErrorKind::format, "fewer token types than tokens",
                {.field = kTypes, .expected = std::to_string(tokens.size()), .found = std::to_string(types->size())});
  }
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    const std::int64_t type = (*types)[id];
    const bool special = type == kControl || type == kUnknown;
    // What is no UTF-8 cannot stand in a text, and would match inside a character.
    if ((!special && type != kUserDefined) || tokens[id].empty() || find_invalid_utf8(tokens[id])) continue;
    tokenizer.added.add({.content = std::string(tokens[id]), .id = static_cast<std::int64_t>(id), .special = special});
  }
  tokenizer.added_are_verbatim = true;
}

// The id under `key`; one beyond the vocabulary is a warning and no id.
std::optional<std::int64_t> special_id(const Tokenizer::Impl& tokenizer, const GgufFile& file, const char* key) {
  const auto id = file.integer(key);
  if (!id || tokenizer.contains(*id)) return id;
  log(LogLevel::warning, file.path() + ": " + key + " is " + std::to_string(*id) + ", beyond the vocabulary of " +
                             std::to_string(tokenizer.size()) + " tokens; it is ignored");
  return std::nullopt;
}

void load_special_ids(Tokenizer::Impl& tokenizer, const GgufFile& file) {
  tokenizer.bos = special_id(tokenizer, file, "tokenizer.ggml.bos_token_id");
  tokenizer.eos = special_id(tokenizer, file, "tokenizer.ggml.eos_token_id");
  tokenizer.unk = special_id(tokenizer, file, "tokenizer.ggml.unknown_token_id");
  tokenizer.pad = special_id(tokenizer, file, "tokenizer.ggml.padding_token_id");
  tokenizer.add_end_of_generation(tokenizer.eos);
  tokenizer.add_end_of_generation(special_id(tokenizer, file, "tokenizer.ggml.eot_token_id"));
  tokenizer.add_end_of_generation(special_id(tokenizer, file, "tokenizer.ggml.eom_token_id"));
  const auto name = [&](const char* role, std::optional<std::int64_t> id) {
    if (id) tokenizer.special_names.emplace_back(role, replace_invalid_utf8(tokenizer.text(*id)));
  };
  name("bos_token", tokenizer.bos);
  name("eos_token", tokenizer.eos);
  name("unk_token", tokenizer.unk);
  name("pad_token", tokenizer.pad);
}

void load_chat_templates(Tokenizer::Impl& tokenizer, const GgufFile& file) {
  if (const auto source = file.string("tokenizer.chat_template")) {
    tokenizer.set_chat_template("default", std::string(*source));
  }
  const auto* names = file.strings("tokenizer.chat_templates");
  if (names == nullptr) return;
  for (const std::string_view name : *names) {
    const auto source = file.string("tokenizer.chat_template." + std::string(name));
    if (source) tokenizer.set_chat_template(replace_invalid_utf8(name), std::string(*source));
  }
}

void load_bos_and_eos(Tokenizer::Impl& tokenizer, const GgufFile& file, bool add_bos) {
  const auto wanted = [&](const char* key, bool otherwise, std::optional<std::int64_t> id,
                          std::vector<std::int64_t>& place) {
    if (!file.boolean(key).value_or(otherwise)) return;
    if (id) {
      place = {*id};
    } else {
      log(LogLevel::warning, file.path() + ": " + key + " is set, but the file names no such token");
    }
  };
  wanted("tokenizer.ggml.add_bos_token", add_bos, tokenizer.bos, tokenizer.prefix);
  wanted("tokenizer.ggml.add_eos_token", false, tokenizer.eos, tokenizer.suffix);
  if (file.boolean("tokenizer.ggml.add_space_prefix").value_or(false)) {
    log(LogLevel::warning, file.path() + ": tokenizer.ggml.add_space_prefix has no meaning for byte-level BPE");
  }
}

std::shared_ptr<const Tokenizer::Impl> load(const GgufFile& file) {
  const std::string_view model = file.require_string("tokenizer.ggml.model");
  if (model != "gpt2") {
    throw Error(ErrorKind::unsupported, "a tokenizer model that is not built",
                {.field = "tokenizer.ggml.model", .expected = "gpt2 (byte-level BPE)", .found = std::string(model)});
  }
  const auto pre = file.string("tokenizer.ggml.pre");
  if (!pre) {
    log(LogLevel::warning,
        file.path() +
            ": tokenizer.ggml.pre is missing; llama.cpp's \"default\" is used, and texts may tokenize otherwise "
            "than in training");
  }
  GgufPreTokenizer meaning = gguf_pre_tokenizer(pre.value_or("default"));

  auto tokenizer = std::make_shared<Tokenizer::Impl>();
  tokenizer->added = AddedTokens(AddedTokens::Unparsed::never_match);
  load_tokens(*tokenizer, file);
  const auto& merges = require_strings(file, kMerges);
  MergeLoader loader(tokenizer->vocabulary, merges.size(), MergeLoader::Repeated::first_wins);
  for (const std::string_view pair : merges) loader.add(pair);
  tokenizer->model.emplace<Bpe>(tokenizer->vocabulary, loader.take(), BpeOptions{.ignore_merges = meaning.ignore_merges});
  tokenizer->normalizer = std::move(meaning.normalizer);
  tokenizer->pre_tokenizer = std::move(meaning.pre_tokenizer);
  load_special_ids(*tokenizer, file);
  load_bos_and_eos(*tokenizer, file, meaning.add_bos);
  load_chat_templates(*tokenizer, file);
  tokenizer->added.finish(tokenizer->normalizer);
  return tokenizer;
}

}  // namespace

std::shared_ptr<const Tokenizer::Impl> tokenizer_from_gguf(const GgufFile& file) {
  try {
    return load(file);
  } catch (const Error& error) {
    throw error.in_file(file.path());
  }
}

}  // namespace powerhouse
