#include "text/tokenizer_slow.h"

#include <algorithm>
#include <filesystem>
#include <unordered_map>

#include "powerhouse/error.h"
#include "support/mapped_file.h"
#include "text/tokenizer_json.h"
#include "text/tokenizer_sentencepiece.h"
#include "text/tokenizer_tiktoken.h"
#include "text/unicode.h"

namespace powerhouse {

// vocab.json with merges.txt, vocab.txt, tokenizer.model, a named file of ranks
enum class SlowFiles { bpe, word_piece, sentencepiece, tiktoken };
enum class SlowTemplate { bos_eos, roberta, bert };

struct SlowTokenizer::Row {
  std::string_view name;        // the class, without "Fast"
  std::string_view model_type;  // of config.json
  SlowFiles files;
  SlowTemplate post_processor;
  std::string_view pattern;  // cut by before the byte-level step, with NFC; empty: GPT-2's own pattern
  std::string_view roles;    // special tokens by default
  bool add_bos = false;      // where tokenizer_config.json does not say
  bool legacy = false;       // likewise (text/sentencepiece_model.h)
};

namespace {

constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr SlowTokenizer::Row sentencepiece_row(std::string_view name, std::string_view model_type, bool add_bos = true,
                                               bool legacy = false) {
  return {name, model_type, SlowFiles::sentencepiece, SlowTemplate::bos_eos, "", "{}", add_bos, legacy};
}

constexpr SlowTokenizer::Row kSlowTokenizers[] = {
    {"GPT2Tokenizer", "gpt2", SlowFiles::bpe, SlowTemplate::bos_eos, "",
     R"({"bos_token":"<|endoftext|>","eos_token":"<|endoftext|>","unk_token":"<|endoftext|>"})"},
    {"Qwen2Tokenizer", "qwen2", SlowFiles::bpe, SlowTemplate::bos_eos, kQwen2,
     R"({"eos_token":"<|endoftext|>","unk_token":"<|endoftext|>","pad_token":"<|endoftext|>"})"},
    {"RobertaTokenizer", "roberta", SlowFiles::bpe, SlowTemplate::roberta, "",
     R"({"bos_token":"<s>","eos_token":"</s>","unk_token":"<unk>","sep_token":"</s>","pad_token":"<pad>","cls_token":"<s>","mask_token":"<mask>"})"},
    {"BertTokenizer", "bert", SlowFiles::word_piece, SlowTemplate::bert, "",
     R"({"unk_token":"[UNK]","sep_token":"[SEP]","pad_token":"[PAD]","cls_token":"[CLS]","mask_token":"[MASK]"})"},
    sentencepiece_row("LlamaTokenizer", "llama"),
    sentencepiece_row("LlamaTokenizer", "mistral"),
    sentencepiece_row("LlamaTokenizer", "mixtral"),
    sentencepiece_row("LLaMATokenizer", ""),
    sentencepiece_row("CodeLlamaTokenizer", "code_llama"),
    sentencepiece_row("GemmaTokenizer", "gemma"),
    sentencepiece_row("GemmaTokenizer", "gemma2"),
    sentencepiece_row("GemmaTokenizer", "gemma3_text"),
    sentencepiece_row("BaichuanTokenizer", "baichuan", true, true),
    sentencepiece_row("InternLMTokenizer", "internlm", true, true),
    sentencepiece_row("InternLM2Tokenizer", "internlm2", true, true),
    sentencepiece_row("SentencePieceBackend", "", false, true),
    sentencepiece_row("TokenizersBackend", "", false),
    sentencepiece_row("PreTrainedTokenizerFast", "", false),
};
constexpr SlowTokenizer::Row kTiktoken{"", "", SlowFiles::tiktoken, SlowTemplate::bos_eos, "", "{}"};
// A folder that names neither class nor family.
constexpr SlowTokenizer::Row kBareSentencePiece = sentencepiece_row("", "", false);

constexpr std::uint64_t kMaxFile = std::uint64_t{1} << 28;

// tokenizer.model, or spiece.model as it was called first; empty where there is neither.
std::filesystem::path sentencepiece_file(const std::filesystem::path& root) {
  std::error_code ignored;
  for (const char* name : {"tokenizer.model", "spiece.model"}) {
    if (std::filesystem::exists(root / name, ignored)) return root / name;
  }
  return {};
}

// The rows whose files lie in the folder.
bool has_files(const std::filesystem::path& root, const SlowTokenizer::Row& row) {
  std::error_code ignored;
  if (row.files == SlowFiles::sentencepiece) return !sentencepiece_file(root).empty();
  if (row.files == SlowFiles::word_piece) return std::filesystem::exists(root / "vocab.txt", ignored);
  return std::filesystem::exists(root / "vocab.json", ignored) && std::filesystem::exists(root / "merges.txt", ignored);
}

template <typename Visit>
void each_line(std::string_view text, Visit visit) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    visit(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

// merges.txt as a JSON array.
std::string merges_as_json(std::string_view text) {
  std::string out = "[";
  each_line(text, [&](std::string_view line) {
    if (line.starts_with("#version")) return;
    out.append(out.size() == 1 ? "" : ",").append(Json(line).dump());
  });
  return out + "]";
}

// vocab.txt as a JSON object: a token a line, its number the id; of a repeated one the last counts.
std::string vocabulary_as_json(std::string_view text) {
  std::vector<std::string_view> tokens;
  std::unordered_map<std::string_view, std::size_t> last;
  each_line(text, [&](std::string_view line) {
    while (!line.empty()) {
      const std::size_t before = unicode::previous_boundary(line, line.size());
      if (!unicode::is_space(unicode::character_at(line, before).code_point)) break;
      line = line.substr(0, before);
    }
    last[line] = tokens.size();
    tokens.push_back(line);
  });
  std::string out = "{";
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    if (last[tokens[id]] != id) continue;
    out.append(out.size() == 1 ? "" : ",").append(Json(tokens[id]).dump()).append(":").append(std::to_string(id));
  }
  return out + "}";
}

const char* as_json(bool value) { return value ? "true" : "false"; }

std::string word_piece_json(const std::filesystem::path& root, const Json& config) {
  const Json* accents = config.get("strip_accents");
  const Json* unknown = config.get("unk_token");
  const std::string unk_token =
      unknown->is_object() ? unknown->string_or("content", "") : unknown->as_string("unk_token");
  return R"({"normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":)" +
         std::string(as_json(config.bool_or("tokenize_chinese_chars", true))) + R"(,"strip_accents":)" +
         (accents == nullptr ? "null" : as_json(accents->as_bool("strip_accents"))) + R"(,"lowercase":)" +
         as_json(config.bool_or("do_lower_case", true)) +
         R"(},"pre_tokenizer":{"type":"BertPreTokenizer"},"decoder":{"type":"WordPiece","prefix":"##","cleanup":true},)"
         R"("model":{"type":"WordPiece","unk_token":)" +
         Json(unk_token).dump() + R"(,"continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":)" +
         vocabulary_as_json(read_text((root / "vocab.txt").string(), kMaxFile)) + "}}";
}

std::string bpe_json(const std::filesystem::path& root, const Json& config, std::string_view pattern) {
  const std::string byte_level = R"({"type":"ByteLevel","add_prefix_space":)" +
                                 std::string(as_json(config.bool_or("add_prefix_space", false))) + R"(,"use_regex":)" +
                                 as_json(pattern.empty()) + "}";
  std::string out = R"({"decoder":{"type":"ByteLevel"},)";
  if (pattern.empty()) {
    out += R"("pre_tokenizer":)" + byte_level;
  } else {
    out += R"("normalizer":{"type":"NFC"},"pre_tokenizer":{"type":"Sequence","pretokenizers":[)"
           R"({"type":"Split","behavior":"Isolated","invert":false,"pattern":{"Regex":)" +
           Json(pattern).dump() + "}}," + byte_level + "]}";
  }
  return out + R"(,"model":{"type":"BPE","vocab":)" + read_text((root / "vocab.json").string(), kMaxFile) +
         R"(,"merges":)" + merges_as_json(read_text((root / "merges.txt").string(), kMaxFile)) + "}}";
}

std::optional<std::int64_t> id_of_role(const Tokenizer::Impl& tokenizer, std::string_view role) {
  for (const auto& [name, content] : tokenizer.special_names) {
    if (name == role) return tokenizer.find(content);
  }
  return std::nullopt;
}

}  // namespace

SlowTokenizer find_slow_tokenizer(const std::string& folder, const Json& config) {
  const std::filesystem::path root(folder);
  std::error_code ignored;
  const std::string ranks = find_tiktoken(folder);
  const bool any = std::any_of(std::begin(kSlowTokenizers), std::end(kSlowTokenizers),
                               [&](const auto& row) { return has_files(root, row); });
  if (!any && ranks.empty()) {
    throw Error(
        ErrorKind::not_found, "the folder has no tokenizer",
        {.file = folder,
         .field = "tokenizer.json",
         .expected = "tokenizer.json, tokenizer.model, vocab.json with merges.txt, vocab.txt or a .tiktoken file"});
  }
  std::string name = config.string_or("tokenizer_class", "");
  if (name.ends_with("Fast") && name != "PreTrainedTokenizerFast") name.resize(name.size() - 4);
  std::string model_type;
  if (const auto path = root / "config.json"; std::filesystem::exists(path, ignored)) {
    model_type = Json::parse_file(path.string()).string_or("model_type", "");
  }
  std::string known;
  for (const SlowTokenizer::Row& row : kSlowTokenizers) {
    const bool named = name.empty() ? !model_type.empty() && row.model_type == model_type : row.name == name;
    if (named && has_files(root, row)) return {row, folder};
    if (!known.ends_with(row.name)) known.append(known.empty() ? "" : ", ").append(row.name);
  }
  if (name.empty() && has_files(root, kBareSentencePiece)) return {kBareSentencePiece, folder};
  if (!ranks.empty()) return {kTiktoken, folder};  // the file's name says all
  throw Error(ErrorKind::unsupported, "a folder without tokenizer.json, of a tokenizer class that is not built",
              {.file = folder,
               .field = name.empty() ? "model_type" : "tokenizer_class",
               .expected = "one of " + known,
               .found = name.empty() ? model_type : name});
}

std::shared_ptr<Tokenizer::Impl> SlowTokenizer::load(Json& config) const {
  const Json roles = Json::parse(row_->roles, "roles");
  for (const auto& [role, token] : roles.as_object()) {
    if (config.as_object().find(role) == nullptr) config.as_object()[role] = token;
  }
  const std::filesystem::path root(folder_);
  if (row_->files == SlowFiles::sentencepiece || row_->files == SlowFiles::tiktoken) return load_whole(config);
  const bool word_piece = row_->files == SlowFiles::word_piece;
  const std::string file = (root / (word_piece ? "vocab.txt" : "vocab.json")).string();
  try {
    const std::string text = word_piece ? word_piece_json(root, config) : bpe_json(root, config, row_->pattern);
    return load_tokenizer_json(text, file);
  } catch (const Error& error) {
    throw error.in_file(file);
  }
}

// Files that say themselves what the tokenizer does.
std::shared_ptr<Tokenizer::Impl> SlowTokenizer::load_whole(Json& config) const {
  auto tokenizer = [&] {
    if (row_->files == SlowFiles::tiktoken) return load_tiktoken(find_tiktoken(folder_));
    const std::string file = sentencepiece_file(folder_).string();
    if (!is_tiktoken(file)) return load_sentencepiece(file, config.bool_or("legacy", row_->legacy));
    if (config.get("add_bos_token") == nullptr) config.as_object()["add_bos_token"] = Json(true);  // Llama 3
    return load_tiktoken(file);
  }();
  for (const auto& [role, token] : tokenizer->special_names) {
    if (config.as_object().find(role) == nullptr) config.as_object()[role] = Json(token);
  }
  return tokenizer;
}

void SlowTokenizer::finish(Tokenizer::Impl& tokenizer, const Json& config) const {
  using Kind = TemplatePiece::Kind;
  PostProcessor post;
  const auto token = [&](std::string_view role, std::int64_t type_id) {
    const auto id = id_of_role(tokenizer, role);
    if (!id) {
      throw Error(ErrorKind::format, "a special token of the tokenizer's class is missing",
                  {.field = std::string(role)});
    }
    return TemplatePiece{Kind::token, *id, type_id};
  };
  const TemplatePiece first{Kind::first, -1, 0};
  switch (row_->post_processor) {
    case SlowTemplate::bert:
      post.single = {token("cls_token", 0), first, token("sep_token", 0)};
      post.pair = post.single;
      post.pair.insert(post.pair.end(), {{Kind::second, -1, 1}, token("sep_token", 1)});
      break;
    case SlowTemplate::roberta:
      if (config.bool_or("trim_offsets", true)) post.trims = {{config.bool_or("add_prefix_space", false)}};
      post.single = {token("cls_token", 0), first, token("sep_token", 0)};
      post.pair = post.single;
      post.pair.insert(post.pair.end(), {token("sep_token", 0), {Kind::second, -1, 0}, token("sep_token", 0)});
      break;
    case SlowTemplate::bos_eos: {
      const bool bos = tokenizer.bos && config.bool_or("add_bos_token", row_->add_bos);
      const bool eos = tokenizer.eos && config.bool_or("add_eos_token", false);
      post.single.clear();
      post.pair.clear();
      for (const Kind text : {Kind::first, Kind::second}) {
        const std::int64_t type_id = text == Kind::first ? 0 : 1;
        if (bos) post.pair.push_back({Kind::token, *tokenizer.bos, type_id});
        post.pair.push_back({text, -1, type_id});
        if (eos) post.pair.push_back({Kind::token, *tokenizer.eos, type_id});
        if (text == Kind::first) post.single = post.pair;
      }
      break;
    }
  }
  set_post_processor(tokenizer, std::move(post));
}

}  // namespace powerhouse
