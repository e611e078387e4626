// From texts to tokenizer.json: count words, train the model, write what `tokenizers` would save.
#include "powerhouse/tokenizer_training.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "powerhouse/error.h"
#include "powerhouse/log.h"
#include "support/atomic_write.h"
#include "support/json.h"
#include "support/utf8.h"
#include "text/bpe_trainer.h"
#include "text/byte_level.h"
#include "text/tokenizer_json.h"
#include "text/tokenizer_presets.h"
#include "text/unigram_trainer.h"
#include "text/word_counts.h"
#include "text/word_level_trainer.h"
#include "text/word_piece_trainer.h"

namespace powerhouse {
namespace {

struct TrainedModel {
  JsonObject json;
  std::unordered_map<std::string, std::size_t> ids;
  std::size_t vocab_size = 0;  // one more than the largest id
  std::size_t merges = 0;
};

Json or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

// {"token": id, ...} by rising ids. A token that stands twice has its last id, and the first one is a hole.
Json set_vocabulary(TrainedModel& model, const std::vector<std::string>& tokens) {
  for (std::size_t id = 0; id < tokens.size(); ++id) model.ids[tokens[id]] = id;
  model.vocab_size = tokens.size();
  JsonObject vocabulary;
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    if (model.ids[tokens[id]] == id) vocabulary[tokens[id]] = Json(static_cast<std::int64_t>(id));
  }
  return vocabulary;
}

TrainedModel train(const WordCounts& counts, const BpeTrainerOptions& options) {
  const TrainedBpe bpe = train_bpe(counts, options);
  TrainedModel model;
  Json::Array merges;
  for (const auto& [left, right] : bpe.merges) {
    merges.push_back(Json::Array{Json(bpe.vocabulary[left]), Json(bpe.vocabulary[right])});
  }
  model.merges = merges.size();
  JsonObject& json = model.json;
  json["type"] = "BPE";
  json["dropout"] = nullptr;
  json["unk_token"] = or_null(options.unk_token);
  json["continuing_subword_prefix"] = or_null(options.continuing_subword_prefix);
  json["end_of_word_suffix"] = or_null(options.end_of_word_suffix);
  json["fuse_unk"] = options.fuse_unk;
  json["byte_fallback"] = options.byte_fallback;
  json["ignore_merges"] = options.ignore_merges;
  json["vocab"] = set_vocabulary(model, bpe.vocabulary);
  json["merges"] = std::move(merges);
  return model;
}

TrainedModel train(const WordCounts& counts, const UnigramTrainerOptions& options) {
  const TrainedUnigram unigram = train_unigram(counts, options);
  TrainedModel model;
  Json::Array vocabulary;
  for (const auto& [text, score] : unigram.pieces) {
    model.ids[text] = vocabulary.size();
    vocabulary.push_back(Json::Array{Json(text), Json(score)});
  }
  model.vocab_size = vocabulary.size();
  JsonObject& json = model.json;
  json["type"] = "Unigram";
  json["unk_id"] = unigram.unk_id ? Json(static_cast<std::int64_t>(*unigram.unk_id)) : Json();
  json["vocab"] = std::move(vocabulary);
  json["byte_fallback"] = options.byte_fallback;
  return model;
}

TrainedModel train(const WordCounts& counts, const WordPieceTrainerOptions& options) {
  TrainedModel model;
  JsonObject& json = model.json;
  json["type"] = "WordPiece";
  json["unk_token"] = options.unk_token;
  json["continuing_subword_prefix"] = options.continuing_subword_prefix;
  json["max_input_chars_per_word"] = static_cast<std::int64_t>(options.max_input_chars_per_word);
  json["vocab"] = set_vocabulary(model, train_word_piece(counts, options));
  return model;
}

TrainedModel train(const WordCounts& counts, const WordLevelTrainerOptions& options) {
  TrainedModel model;
  JsonObject& json = model.json;
  json["type"] = "WordLevel";
  json["vocab"] = set_vocabulary(model, train_word_level(counts, options));
  json["unk_token"] = options.unk_token;
  return model;
}

// Special tokens as `add_special_tokens` numbers them: by the model, or after it.
Json::Array added_tokens(const TrainedModel& model, const std::vector<std::string>& specials) {
  std::vector<std::pair<std::size_t, std::string>> numbered;
  std::set<std::string> seen;
  std::size_t next = model.ids.size();
  for (const std::string& special : specials) {
    if (!seen.insert(special).second) continue;
    const auto found = model.ids.find(special);
    numbered.emplace_back(found != model.ids.end() ? found->second : next++, special);
  }
  std::sort(numbered.begin(), numbered.end());
  Json::Array tokens;
  for (const auto& [id, content] : numbered) {
    JsonObject token;
    token["id"] = static_cast<std::int64_t>(id);
    token["content"] = content;
    for (const char* flag : {"single_word", "lstrip", "rstrip", "normalized"}) token[flag] = false;
    token["special"] = true;
    tokens.push_back(std::move(token));
  }
  return tokens;
}

// BERT's [CLS] ... [SEP], where the added tokens have both.
Json bert_template(const Json::Array& added) {
  JsonObject json;
  json["type"] = "BertProcessing";
  for (const auto& [place, name] : {std::pair("sep", "[SEP]"), std::pair("cls", "[CLS]")}) {
    for (const Json& token : added) {
      if (token.at("content").as_string() == name) json[place] = Json::Array{Json(name), token.at("id")};
    }
  }
  return json.size() == 3 ? Json(std::move(json)) : Json();
}

template <typename Options>
void check_texts(const Options& options) {
  const auto check = [](const std::vector<std::string>& texts, const char* field) {
    for (const std::string& text : texts) {
      if (text.empty()) throw Error(ErrorKind::usage, "an empty text", {.field = field});
      if (find_invalid_utf8(text)) throw Error(ErrorKind::usage, "text is not valid UTF-8", {.field = field});
    }
  };
  check(options.special_tokens, "special_tokens");
  check({options.unk_token.empty() ? "?" : options.unk_token}, "unk_token");
  if constexpr (requires { options.initial_alphabet; }) check(options.initial_alphabet, "initial_alphabet");
  if constexpr (requires { options.continuing_subword_prefix; }) {
    check({"?" + options.continuing_subword_prefix}, "continuing_subword_prefix");
    check({"?" + options.end_of_word_suffix}, "end_of_word_suffix");
  }
}

template <typename Options>
void add_byte_alphabet(Options& options) {
  if constexpr (requires { options.initial_alphabet; }) {
    for (const char16_t character : kByteAlphabet) append_utf8(options.initial_alphabet.emplace_back(), character);
  }
}

TrainedTokenizer train_on(TextSource& source, const TokenizerTrainingOptions& options) {
  TokenizerParts parts = tokenizer_parts(options);
  const auto given = [](const Json& part) { return part.is_null() ? nullptr : &part; };
  const Normalizer normalizer = load_normalizer(given(parts.normalizer));
  const PreTokenizer pre_tokenizer = load_pre_tokenizer(given(parts.pre_tokenizer), true);
  TrainerOptions trainer = options.trainer;
  std::visit([](const auto& chosen) { check_texts(chosen); }, trainer);
  if (parts.byte_alphabet) std::visit([](auto& chosen) { add_byte_alphabet(chosen); }, trainer);

  const WordCounts counts = WordCounts::of(source, normalizer, pre_tokenizer);
  TrainedModel model = std::visit([&](const auto& chosen) { return train(counts, chosen); }, trainer);
  Json::Array added =
      added_tokens(model, std::visit([](const auto& chosen) { return chosen.special_tokens; }, trainer));
  const std::string unknown = std::visit([](const auto& chosen) { return chosen.unk_token; }, trainer);
  if (!unknown.empty() && !model.ids.contains(unknown)) {
    log(LogLevel::warning, "the vocabulary lacks the unknown token " + unknown + ": it belongs to the special tokens");
  }
  if (parts.bert_template) parts.post_processor = bert_template(added);
  JsonObject json;
  json["version"] = "1.0";
  json["truncation"] = nullptr;
  json["padding"] = nullptr;
  json["added_tokens"] = std::move(added);
  json["normalizer"] = std::move(parts.normalizer);
  json["pre_tokenizer"] = std::move(parts.pre_tokenizer);
  json["post_processor"] = std::move(parts.post_processor);
  json["decoder"] = std::move(parts.decoder);
  json["model"] = std::move(model.json);
  return {.json = Json(std::move(json)).dump(2),
          .vocab_size = model.vocab_size,
          .merges = model.merges,
          .distinct_words = counts.words().size()};
}

}  // namespace

TrainedTokenizer train_tokenizer(const std::vector<std::string>& files, const TokenizerTrainingOptions& options) {
  FileLines lines(files);
  return train_on(lines, options);
}

TrainedTokenizer train_tokenizer(const std::function<std::optional<std::string>()>& next_text,
                                 const TokenizerTrainingOptions& options) {
  CallbackTexts texts(next_text);
  return train_on(texts, options);
}

void TrainedTokenizer::save(const std::string& path) const { write_atomically(path, json); }

}  // namespace powerhouse
