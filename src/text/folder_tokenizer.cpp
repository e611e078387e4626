#include "text/folder_tokenizer.h"

#include <algorithm>
#include <tuple>

#include "powerhouse/error.h"
#include "powerhouse/log.h"
#include "support/json.h"
#include "support/utf8.h"
#include "text/gguf_pre_detection.h"
#include "text/spellings.h"
#include "text/tokenizer_gguf.h"
#include "text/tokenizer_impl.h"
#include "text/tokenizer_json.h"

namespace powerhouse {
namespace {

Json object(std::initializer_list<std::pair<const char*, Json>> members) {
  JsonObject out;
  for (const auto& [key, value] : members) out[key] = value;
  return out;
}

Json literal(std::string_view text) { return object({{"String", text}}); }

Json replace(std::string_view what, std::string_view by) {
  return object({{"type", "Replace"}, {"pattern", literal(what)}, {"content", by}});
}

Json byte_level(bool use_regex) {
  return object({{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}});
}

Json sequence(const char* key, Json::Array parts) {
  if (parts.empty()) return {};
  if (parts.size() == 1) return parts.front();
  return object({{"type", "Sequence"}, {key, std::move(parts)}});
}

class TokenizerFolderWriter {
 public:
  TokenizerFolderWriter(const GgufFile& file, const Tokenizer::Impl& impl) : file_(file), impl_(impl) {
    const std::string_view model = file.require_string("tokenizer.ggml.model");
    if (model == "llama") {
      spm_ = true;
      meaning_ = {.characters = true, .escape_blanks = true};
    } else {
      pre_ = model == "gemma4" ? "gemma4" : file.string("tokenizer.ggml.pre").value_or("default");
      meaning_ = gguf_pre_tokenizer(pre_).flags;
    }
  }

  std::string tokenizer_json() const {
    JsonObject out;
    out["version"] = "1.0";
    out["truncation"] = nullptr;
    out["padding"] = nullptr;
    out["added_tokens"] = added_tokens();
    const bool add_prefix = spm_ && impl_.pieces.drops_first;
    Json::Array normalizers;
    if (add_prefix) normalizers.push_back(object({{"type", "Prepend"}, {"prepend", kBlank}}));
    if (meaning_.escape_blanks) normalizers.push_back(replace(" ", kBlank));
    out["normalizer"] = sequence("normalizers", std::move(normalizers));
    out["pre_tokenizer"] = sequence("pretokenizers", pre_tokenizers());
    out["post_processor"] = post_processor();
    out["decoder"] = meaning_.characters ? decoder_of_blanks(add_prefix) : byte_level(true);
    out["model"] = model();
    return Json(std::move(out)).dump(2) + "\n";
  }

  std::string tokenizer_config(std::int64_t model_max_length) const {
    JsonObject out;
    JsonObject decoder;
    for (const AddedToken& token : in_order()) {
      JsonObject row = flags_of(token).as_object();
      decoder[std::to_string(token.id)] = std::move(row);
    }
    out["added_tokens_decoder"] = std::move(decoder);
    // Whatever has a role is found in text before all else: a padding token "!" would never merge again.
    for (const auto& [role, text] : impl_.special_names) {
      if (impl_.added.find(text) != nullptr) out[role] = text;
    }
    out["clean_up_tokenization_spaces"] = false;
    out["model_max_length"] = model_max_length;
    out["tokenizer_class"] = "PreTrainedTokenizerFast";
    if (impl_.chat_templates.size() == 1 && impl_.chat_templates.front().first == "default") {
      out["chat_template"] = impl_.chat_templates.front().second;
    } else if (!impl_.chat_templates.empty()) {
      Json::Array list;
      for (const auto& [name, source] : impl_.chat_templates) {
        list.push_back(object({{"name", name}, {"template", source}}));
      }
      out["chat_template"] = std::move(list);
    }
    return Json(std::move(out)).dump(2) + "\n";
  }

 private:
  std::vector<AddedToken> in_order() const {
    std::vector<AddedToken> tokens = impl_.added.tokens();
    std::sort(tokens.begin(), tokens.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
    return tokens;
  }

  static Json flags_of(const AddedToken& token) {
    return object({{"content", token.content},
                   {"single_word", false},
                   {"lstrip", token.lstrip},
                   {"rstrip", token.rstrip},
                   {"normalized", false},
                   {"special", token.special}});
  }

  Json added_tokens() const {
    Json::Array out;
    for (const AddedToken& token : in_order()) {
      JsonObject row;
      row["id"] = token.id;
      const Json flags = flags_of(token);
      for (const auto& [key, value] : flags.as_object()) row[key] = value;
      out.emplace_back(std::move(row));
    }
    return out;
  }

  Json::Array pre_tokenizers() const {
    if (spm_) return {};
    std::vector<Json> parts = gguf_pre_tokenizer_parts(pre_);
    if (!meaning_.characters) parts.push_back(byte_level(false));
    return parts;
  }

  Json post_processor() const {
    if (impl_.prefix.empty() && impl_.suffix.empty()) return {};
    JsonObject tokens;
    const auto special = [&](std::int64_t id) {
      std::string text(impl_.text(id));
      tokens[text] = object({{"id", text}, {"ids", Json::Array{id}}, {"tokens", Json::Array{text}}});
      return text;
    };
    const auto pieces = [&](std::initializer_list<std::pair<const char*, int>> texts) {
      Json::Array out;
      for (const auto& [name, type] : texts) {
        const auto add = [&, type = type](const std::vector<std::int64_t>& ids) {
          for (const std::int64_t id : ids) {
            out.push_back(object({{"SpecialToken", object({{"id", special(id)}, {"type_id", type}})}}));
          }
        };
        add(impl_.prefix);
        out.push_back(object({{"Sequence", object({{"id", name}, {"type_id", type}})}}));
        add(impl_.suffix);
      }
      return out;
    };
    JsonObject out;
    out["type"] = "TemplateProcessing";
    out["single"] = pieces({{"A", 0}});
    out["pair"] = pieces({{"A", 0}, {"B", 1}});
    out["special_tokens"] = std::move(tokens);
    return out;
  }

  static Json decoder_of_blanks(bool add_prefix) {
    Json::Array parts = {replace(kBlank, " "), object({{"type", "ByteFallback"}}), object({{"type", "Fuse"}})};
    if (add_prefix) parts.push_back(object({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}));
    return sequence("decoders", std::move(parts));
  }

  Json model() const {
    JsonObject out;
    out["type"] = "BPE";
    out["dropout"] = nullptr;
    out["unk_token"] = spm_ && impl_.unk ? Json(impl_.text(*impl_.unk)) : Json();
    out["continuing_subword_prefix"] = nullptr;
    out["end_of_word_suffix"] = nullptr;
    out["fuse_unk"] = spm_;
    out["byte_fallback"] = meaning_.characters;
    out["ignore_merges"] = !spm_ && std::get<Bpe>(impl_.model).options().ignore_merges;
    JsonObject vocabulary;
    for (std::size_t id = 0; id < impl_.vocabulary.size(); ++id) {
      const auto at = static_cast<std::int64_t>(id);
      if (!impl_.vocabulary.contains(at)) continue;
      const std::string_view text = impl_.vocabulary.text(at);
      // What is no UTF-8 stands in no text, and JSON can't say it.
      if (text.empty() || find_invalid_utf8(text) || impl_.vocabulary.find(text) != at) continue;
      vocabulary[text] = at;
    }
    out["vocab"] = std::move(vocabulary);
    out["merges"] = spm_ ? merges_of_scores() : merges();
    return out;
  }

  static Json pair_of(std::string_view left, std::string_view right) { return Json::Array{left, right}; }

  Json merges() const {
    std::vector<std::tuple<std::int32_t, std::string_view, std::string_view>> rows;
    std::get<Bpe>(impl_.model)
        .merges()
        .each([&](std::int32_t left, std::int32_t right, const MergeTable::Merge& merge) {
          rows.emplace_back(merge.rank, impl_.vocabulary.text(left), impl_.vocabulary.text(right));
        });
    std::sort(rows.begin(), rows.end());
    Json::Array out;
    for (const auto& [rank, left, right] : rows) out.push_back(pair_of(left, right));
    return out;
  }

  // Each way to put a token together from two, of whatever type, the token with the best score first; of one token's
  // ways the one whose parts score best.
  Json merges_of_scores() const {
    struct Row {
      double score;
      std::int32_t left, right;
    };
    const std::vector<double> scores = file_.numbers("tokenizer.ggml.scores").value_or(std::vector<double>());
    const auto score_of = [&](std::int32_t id) {
      return static_cast<std::size_t>(id) < scores.size() ? scores[static_cast<std::size_t>(id)] : 0.0;
    };
    std::vector<Row> rows;
    for (std::size_t id = 0; id < impl_.vocabulary.size(); ++id) {
      const auto whole = static_cast<std::int32_t>(id);
      if (!impl_.vocabulary.contains(whole)) continue;
      const std::string_view text = impl_.vocabulary.text(whole);
      if (find_invalid_utf8(text)) continue;
      for (std::size_t at = 1; at < text.size(); ++at) {
        if ((static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) continue;
        const auto left = impl_.vocabulary.find(text.substr(0, at));
        const auto right = impl_.vocabulary.find(text.substr(at));
        if (left && right) rows.push_back({score_of(whole), *left, *right});
      }
    }
    std::stable_sort(rows.begin(), rows.end(), [&](const Row& a, const Row& b) {
      return std::make_tuple(-a.score, -score_of(a.left), -score_of(a.right)) <
             std::make_tuple(-b.score, -score_of(b.left), -score_of(b.right));
    });
    Json::Array out;
    for (const Row& row : rows)
      out.push_back(pair_of(impl_.vocabulary.text(row.left), impl_.vocabulary.text(row.right)));
    return out;
  }

  const GgufFile& file_;
  const Tokenizer::Impl& impl_;
  bool spm_ = false;  // merges by scores; else those of the file, cut as `pre_` says
  std::string_view pre_{};
  GgufPreTokenizer::Flags meaning_{};
};

void warn_of_differences(const GgufFile& file, const Tokenizer& from, const Tokenizer& written) {
  for (const std::string& text : probing_texts()) {
    if (from.encode(text) == written.encode(text)) continue;
    log(LogLevel::warning, file.path() + ": the folder's tokenizer will tokenize some text otherwise, say " +
                               Json(std::string_view(text)).dump());
    return;
  }
}

}  // namespace

std::vector<FolderFile> folder_tokenizer(const GgufFile& file, std::int64_t model_max_length) {
  const std::string_view model = file.require_string("tokenizer.ggml.model");
  if (model != "gpt2" && model != "gemma4" && model != "llama") {
    throw Error(ErrorKind::unsupported, "a tokenizer that is not written to folders",
                {.file = file.path(),
                 .field = "tokenizer.ggml.model",
                 .expected = "gpt2, gemma4 or llama",
                 .found = std::string(model)});
  }
  const Tokenizer tokenizer = Tokenizer::Impl::share(tokenizer_from_gguf(file));
  const TokenizerFolderWriter writer(file, Tokenizer::Impl::of(tokenizer));
  std::vector<FolderFile> files = {{"tokenizer.json", writer.tokenizer_json()},
                                   {"tokenizer_config.json", writer.tokenizer_config(model_max_length)}};
  warn_of_differences(file, tokenizer,
                      Tokenizer::Impl::share(tokenizer_from_json(files[0].text, files[1].text, "tokenizer.json")));
  return files;
}

}  // namespace powerhouse
