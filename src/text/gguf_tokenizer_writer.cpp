#include "text/gguf_tokenizer_writer.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "powerhouse/error.h"
#include "powerhouse/log.h"
#include "support/json.h"
#include "support/mapped_file.h"
#include "text/decoder.h"
#include "text/gguf_pre_detection.h"
#include "text/sentencepiece_file.h"
#include "text/spellings.h"
#include "text/tokenizer_gguf.h"
#include "text/tokenizer_impl.h"

namespace powerhouse {
namespace {

enum Type : std::int32_t { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };

struct NamedMerge {
  MergeTable::Merge merge;
  std::string_view left, right;
};

// The converter's list: added tokens that files forget to call special.
bool looks_special(std::string_view text) {
  return text == "<pad>" || text == "<mask>" || text == "<2mass>" || text == "[@BOS@]" ||
         (text.starts_with("<|") && text.ends_with("|>")) ||
         (text.starts_with("<\xEF\xBD\x9C") && text.ends_with("\xEF\xBD\x9C>")) ||
         (text.starts_with("<unused") && text.ends_with(">"));
}

bool is_byte_token(std::string_view text) {
  return text.size() == 6 && text.starts_with("<0x") && text.ends_with('>') &&
         text.substr(3, 2).find_first_not_of("0123456789ABCDEFabcdef") == std::string_view::npos;
}

class TokenizerMetadataWriter {
 public:
  TokenizerMetadataWriter(const std::string& folder, std::int64_t vocab_size, const Tokenizer& tokenizer)
      : folder_(folder), vocab_size_(vocab_size), tokenizer_(tokenizer), impl_(Tokenizer::Impl::of(tokenizer)) {}

  /// Whether `pre` is the converter's word.
  bool by_hash() const { return by_hash_; }

  std::vector<GgufEntry> run() {
    if (static_cast<std::int64_t>(impl_.size()) > vocab_size_) {
      throw Error(ErrorKind::format, "the tokenizer has more tokens than the model has rows",
                  {.expected = "at most " + std::to_string(vocab_size_), .found = std::to_string(impl_.size())});
    }
    const auto* bpe = std::get_if<Bpe>(&impl_.model);
    if (bpe != nullptr && impl_.pre_tokenizer.gives_bytes()) {
      write_byte_level(*bpe);
    } else if (bpe != nullptr && bpe->options().byte_fallback) {
      write_merges_as_scores(*bpe);
    } else if (std::holds_alternative<SentencePieceModel>(impl_.model)) {
      write_sentencepiece();
    } else {
      throw Error(ErrorKind::unsupported, "this tokenizer can't be written to GGUF",
                  {.expected = "byte-level BPE, BPE with byte fallback, or SentencePiece's BPE"});
    }
    write_roles();
    write_templates();
    return std::move(out_);
  }

 private:
  void put(std::string key, GgufEntry::Value value) {
    out_.push_back({"tokenizer." + std::move(key), std::move(value)});
  }

  // Tokens and their types; `plain` is the type of a token that is not added. Blanks in user-defined tokens are spelled
  // out: llama.cpp looks for them in the text as it comes.
  template <typename Plain>
  void write_tokens(Plain plain) {
    std::vector<std::string> tokens;
    std::vector<std::int32_t> types;
    for (std::int64_t id = 0; id < vocab_size_; ++id) {
      const AddedToken* added = impl_.added.find(id);
      std::string text = added != nullptr     ? added->content
                         : impl_.contains(id) ? std::string(impl_.text(id))
                                              : "[PAD" + std::to_string(id) + "]";
      Type type = kUnused;
      if (added != nullptr) {
        type = added->special || looks_special(text) ? kControl : kUserDefined;
        if (type == kUserDefined) text = replace_all(text, kBlank, " ");
        if (added->special) type = special_type(id, type);
      } else if (impl_.contains(id)) {
        type = plain(id, text);
      }
      tokens.push_back(std::move(text));
      types.push_back(type);
    }
    put("ggml.tokens", std::move(tokens));
    put("ggml.token_type", std::move(types));
  }

  // SentencePiece's unknown piece is that; for BPE by merges the converter calls it a control token.
  Type special_type(std::int64_t id, Type type) const { return names_unknown_ && id == impl_.unk ? kUnknown : type; }

  void write_byte_level(const Bpe& bpe) {
    const GgufPreName pre = detect_gguf_pre(tokenizer_);
    by_hash_ = pre.by_hash;
    put("ggml.model", std::string("gpt2"));
    put("ggml.pre", pre.name);
    write_tokens([](std::int64_t, std::string_view) { return kNormal; });
    std::vector<std::string> merges;
    for (const auto& [merge, left, right] : by_rank(bpe)) {
      std::string pair(left);
      pair.append(" ").append(right);
      if (std::count(pair.begin(), pair.end(), ' ') > 1) {
        throw Error(ErrorKind::unsupported, "a merge with a blank in it", {.found = pair});
      }
      merges.push_back(std::move(pair));
    }
    put("ggml.merges", std::move(merges));
  }

  void write_merges_as_scores(const Bpe& bpe) {
    names_unknown_ = true;
    write_llama();
    write_tokens([](std::int64_t, std::string_view text) { return is_byte_token(text) ? kByte : kNormal; });
    std::vector<float> scores(static_cast<std::size_t>(vocab_size_), 0.0f);
    for (const NamedMerge& named : by_rank(bpe)) {
      float& score = scores[static_cast<std::size_t>(named.merge.result)];
      if (score == 0) score = static_cast<float>(-1 - named.merge.rank);
    }
    put("ggml.scores", std::move(scores));
  }

  void write_sentencepiece() {
    const auto path = std::filesystem::path(folder_) / "tokenizer.model";
    const auto bytes = MappedFile::open(path.string());
    const SentencePieceFile file = SentencePieceFile::parse(bytes->text());
    if (file.model != SentencePieceFile::Model::bpe) {
      throw Error(ErrorKind::unsupported, "of SentencePiece's models only BPE goes into a GGUF of a decoder",
                  {.file = path.string()});
    }
    names_unknown_ = true;
    write_llama();
    write_tokens([&](std::int64_t id, std::string_view) {
      return static_cast<Type>(file.pieces[static_cast<std::size_t>(id)].kind);
    });
    std::vector<float> scores(static_cast<std::size_t>(vocab_size_), -10000.0f);
    for (std::size_t id = 0; id < file.pieces.size(); ++id) scores[id] = file.pieces[id].score;
    put("ggml.scores", std::move(scores));
  }

  void write_llama() {
    put("ggml.model", std::string("llama"));
    put("ggml.pre", std::string("default"));
    const auto ids = tokenizer_.encode("a", {.add_special_tokens = false});
    put("ggml.add_space_prefix", !ids.empty() && impl_.text(ids.front()).starts_with(kBlank));
  }

  // The merges in the order in which they are taken.
  std::vector<NamedMerge> by_rank(const Bpe& bpe) const {
    std::vector<NamedMerge> out;
    bpe.merges().each([&](std::int32_t left, std::int32_t right, const MergeTable::Merge& merge) {
      out.push_back({merge, impl_.vocabulary.text(left), impl_.vocabulary.text(right)});
    });
    std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.merge.rank < b.merge.rank; });
    return out;
  }

  void write_roles() {
    struct Role {
      const char* name;  // of transformers
      const char* key;
    };
    constexpr Role kRoles[] = {{"bos", "bos"},     {"eos", "eos"}, {"unk", "unknown"}, {"sep", "seperator"},
                               {"pad", "padding"}, {"cls", "cls"}, {"mask", "mask"}};
    const auto config_path = std::filesystem::path(folder_) / "config.json";
    const Json config = std::filesystem::exists(config_path) ? Json::parse_file(config_path.string()) : Json();
    std::map<std::string, std::int64_t> ids;
    for (const auto& [name, text] : impl_.special_names) {
      if (const auto id = impl_.find(text)) ids[name] = *id;
    }
    if (impl_.prefix.size() == 1) ids.try_emplace("bos_token", impl_.prefix[0]);
    if (impl_.suffix.size() == 1) ids.try_emplace("eos_token", impl_.suffix[0]);
    for (const auto& [name, key] : kRoles) {
      const std::string role = std::string(name) + "_token";
      const Json* id = config.get(role + "_id");
      if (id != nullptr && id->is_integer()) ids.try_emplace(role, id->as_integer());
      const auto found = ids.find(role);
      if (found == ids.end() || found->second < 0 || found->second >= vocab_size_) continue;
      put(std::string("ggml.") + key + "_token_id", static_cast<std::uint32_t>(found->second));
    }
    write_added("bos", impl_.prefix, ids);
    write_added("eos", impl_.suffix, ids);
  }

  void write_added(const std::string& name, const std::vector<std::int64_t>& added,
                   const std::map<std::string, std::int64_t>& ids) {
    const auto id = ids.find(name + "_token");
    if (!added.empty() && (added.size() > 1 || id == ids.end() || id->second != added[0])) {
      throw Error(ErrorKind::unsupported, "around texts llama.cpp adds BOS and EOS and nothing else",
                  {.field = "post_processor", .found = std::string(impl_.text(added[0]))});
    }
    put("ggml.add_" + name + "_token", !added.empty());
  }

  void write_templates() {
    std::vector<std::string> others;
    for (const auto& [name, source] : impl_.chat_templates) {
      if (name == "default") {
        put("chat_template", source);
        continue;
      }
      std::string plain = name;
      for (char& c : plain) {
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))) c = '_';
      }
      put("chat_template." + plain, source);
      others.push_back(std::move(plain));
    }
    if (!others.empty()) put("chat_templates", std::move(others));
  }

  const std::string& folder_;
  std::int64_t vocab_size_;
  const Tokenizer& tokenizer_;
  const Tokenizer::Impl& impl_;
  bool names_unknown_ = false;
  bool by_hash_ = false;
  std::vector<GgufEntry> out_;
};

}  // namespace

GgufTokenizer::GgufTokenizer(std::string folder, std::int64_t vocab_size)
    : folder_(std::move(folder)), tokenizer_(Tokenizer::from_pretrained(folder_)) {
  try {
    TokenizerMetadataWriter writer(folder_, vocab_size, tokenizer_);
    entries_ = writer.run();
    by_hash_ = writer.by_hash();
  } catch (const Error& error) {
    throw error.in_file(folder_);
  }
}

void GgufTokenizer::check(const GgufFile& written) const {
  const auto& impl = Tokenizer::Impl::of(tokenizer_);
  const Tokenizer found = Tokenizer::Impl::share(tokenizer_from_gguf(written));
  const bool byte_level = written.require_string("tokenizer.ggml.model") == "gpt2";
  std::string storage;
  bool warned = false;
  for (const std::string& text : probing_texts()) {
    const std::string_view normal = byte_level ? impl.normalizer.apply(text, storage) : text;
    if (tokenizer_.encode(normal) == found.encode(normal)) continue;
    // Metaspace puts no blank before a text that begins with one, llama.cpp always does: the converter minds as little.
    const bool at_blank = !byte_level && text.starts_with(' ');
    const std::string shown = Json(normal).dump();
    if (!by_hash_ && !at_blank) {
      throw Error(ErrorKind::unsupported, "llama.cpp can't tokenize as the folder's tokenizer does",
                  {.file = folder_, .found = shown});
    }
    if (!warned) log(LogLevel::warning, "llama.cpp will tokenize some text otherwise, say " + shown);
    warned = true;
  }
}

}  // namespace powerhouse
