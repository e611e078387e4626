// A folder's tokenizer: tokenizer.json (or the older files, text/tokenizer_slow.h), then what transformers adds to it
// from the files beside: tokenizer_config.json (special tokens, added tokens, the chat template),
// special_tokens_map.json and added_tokens.json where that lists none, chat templates, the eos_token_id of
// generation_config.json. Where BOS and EOS go is the post-processor's affair: transformers 5 leaves add_bos_token and
// add_eos_token aside where there is a tokenizer.json, and so do we.
#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>

#include "powerhouse/error.h"
#include "powerhouse/log.h"
#include "support/mapped_file.h"
#include "text/decoder_steps.h"
#include "text/tokenizer_impl.h"
#include "text/tokenizer_json.h"
#include "text/tokenizer_slow.h"

namespace powerhouse {
namespace {

constexpr const char* kRoles[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                  "pad_token", "cls_token", "mask_token"};

// "<s>", or {"content": "<s>", ...}.
AddedToken special_token(const Tokenizer::Impl& tokenizer, const Json& value, std::string_view role) {
  AddedToken token;
  if (value.is_object()) {
    token = read_added_token(value);
  } else {
    token.content = value.as_string(role);
    // A bare name keeps the flags of the token that it names.
    if (const AddedToken* known = tokenizer.added.find(token.content)) token = *known;
  }
  token.special = true;
  return token;
}

void add_listed_tokens(Tokenizer::Impl& tokenizer, const Json& config) {
  if (const Json* decoder = config.get("added_tokens_decoder")) {
    std::map<std::int64_t, const Json*> by_id;
    for (const auto& [name, description] : decoder->as_object("added_tokens_decoder")) {
      std::int64_t id = -1;
      const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
      if (error != std::errc() || end != name.data() + name.size() || id < 0) {
        throw Error(ErrorKind::format, "a token id is no number", {.field = "added_tokens_decoder", .found = name});
      }
      by_id[id] = &description;
    }
    for (const auto& [id, description] : by_id) add_token(tokenizer, read_added_token(*description));
  }
}

void add_extra_tokens(Tokenizer::Impl& tokenizer, const Json& config) {
  for (const char* list : {"additional_special_tokens", "extra_special_tokens"}) {
    const Json* tokens = config.get(list);
    if (tokens == nullptr) continue;
    if (tokens->is_object()) {  // {"image_token": "<image>"}: named ones
      for (const auto& [role, token] : tokens->as_object()) add_token(tokenizer, special_token(tokenizer, token, role));
    } else {
      for (const Json& token : tokens->as_array(list)) add_token(tokenizer, special_token(tokenizer, token, list));
    }
  }
}

void name_special_tokens(Tokenizer::Impl& tokenizer, const Json& config) {
  for (const char* role : kRoles) {
    const Json* value = config.get(role);
    if (value == nullptr || value->is_bool()) continue;
    AddedToken token = special_token(tokenizer, *value, role);
    if (token.content.empty()) continue;
    const std::string content = token.content;
    add_token(tokenizer, std::move(token));
    tokenizer.set_role(role, content);
  }
}

// eos_token_id: a number or a list, each of which ends a generation.
void read_generation_config(Tokenizer::Impl& tokenizer, const Json& config) {
  const Json* eos = config.get("eos_token_id");
  if (eos == nullptr) return;
  const Json::Array ids = eos->is_array() ? eos->as_array() : Json::Array{*eos};
  for (const Json& value : ids) {
    const std::int64_t id = value.as_integer("eos_token_id");
    if (tokenizer.contains(id)) {
      tokenizer.add_end_of_generation(id);
    } else {
      log(LogLevel::warning, "eos_token_id " + std::to_string(id) +
                                 " of generation_config.json is beyond the vocabulary of " +
                                 std::to_string(tokenizer.size()) + " tokens; it is ignored");
    }
  }
}

void finish(Tokenizer::Impl& tokenizer) {
  tokenizer.added.finish(tokenizer.normalizer);
  tokenizer.add_end_of_generation(tokenizer.eos);
}

}  // namespace

void apply_tokenizer_config(Tokenizer::Impl& tokenizer, const Json& config) {
  config.as_object("tokenizer_config.json");
  add_listed_tokens(tokenizer, config);
  name_special_tokens(tokenizer, config);
  add_extra_tokens(tokenizer, config);
  read_chat_templates(tokenizer, config);
}

std::shared_ptr<const Tokenizer::Impl> tokenizer_from_json(std::string_view tokenizer, std::string_view config,
                                                           std::string_view origin) {
  const auto impl = [&] {
    try {
      return load_tokenizer_json(tokenizer, origin);
    } catch (const Error& error) {
      throw error.in_file(origin);
    }
  }();
  if (!config.empty()) apply_tokenizer_config(*impl, Json::parse(config, "tokenizer_config.json"));
  finish(*impl);
  return impl;
}

namespace {

Json read_object(const std::filesystem::path& file) {
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return Json(JsonObject{});
  Json out = Json::parse_file(file.string());
  if (!out.is_object()) {
    throw Error(ErrorKind::format, "not a JSON object", {.file = file.string(), .found = std::string(out.type_name())});
  }
  return out;
}

// added_tokens.json of older folders: {"token": id}. A token is special where a role names it.
void add_older_tokens(Tokenizer::Impl& tokenizer, const Json& list, const Json& config) {
  std::map<std::int64_t, std::string> by_id;
  for (const auto& [content, id] : list.as_object()) by_id[id.as_integer("added_tokens.json")] = content;
  for (const auto& [id, content] : by_id) {
    const bool special = std::any_of(std::begin(kRoles), std::end(kRoles), [&, &content = content](const char* role) {
      const Json* value = config.get(role);
      if (value == nullptr) return false;
      return value->is_object() ? value->string_or("content", "") == content
                                : value->is_string() && value->as_string() == content;
    });
    if (tokenizer.added.find(content) != nullptr) continue;
    add_token(tokenizer, {.content = content, .special = special, .normalized = !special});
  }
}

// transformers cleans up after every model but BPE, whose spaces it would corrupt.
void apply_clean_up(Tokenizer::Impl& tokenizer, const Json& config) {
  if (!config.bool_or("clean_up_tokenization_spaces", false)) return;
  const bool forced = config.bool_or("clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output", false);
  if (std::holds_alternative<Bpe>(tokenizer.model) && !forced) return;
  tokenizer.decoder.append(std::make_unique<CleanUpStep>());
}

}  // namespace

std::shared_ptr<const Tokenizer::Impl> tokenizer_from_folder(const std::string& folder) {
  namespace fs = std::filesystem;
  const fs::path root(folder);
  const std::string path = (root / "tokenizer.json").string();
  std::error_code ignored;
  const auto guarded = [](const std::string& file, auto work) {
    try {
      return work();
    } catch (const Error& error) {
      throw error.in_file(file);
    }
  };
  const std::string config_path = (root / "tokenizer_config.json").string();
  Json config = read_object(config_path);
  Json older(JsonObject{});
  if (config.get("added_tokens_decoder") == nullptr) {
    const Json roles = read_object(root / "special_tokens_map.json");
    for (const auto& [role, token] : roles.as_object()) config.as_object()[role] = token;
    older = read_object(root / "added_tokens.json");
  }
  std::shared_ptr<Tokenizer::Impl> impl;
  std::optional<SlowTokenizer> slow;
  if (fs::exists(path, ignored)) {
    impl = guarded(path, [&] { return load_tokenizer_json(MappedFile::open(path)->text(), path); });
  } else {
    slow = find_slow_tokenizer(folder, config);
    impl = slow->load(config);
  }
  guarded(config_path, [&] {
    add_older_tokens(*impl, older, config);
    apply_tokenizer_config(*impl, config);
    apply_clean_up(*impl, config);
    if (slow) slow->finish(*impl, config);
  });
  read_chat_template_files(*impl, folder);
  finish(*impl);
  if (const std::string file = (root / "generation_config.json").string(); fs::exists(file, ignored)) {
    guarded(file, [&] { read_generation_config(*impl, Json::parse_file(file)); });
  }
  return impl;
}

}  // namespace powerhouse
