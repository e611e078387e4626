#include "text/tokenizer_gguf.h"

#include "powerhouse/error.h"
#include "powerhouse/log.h"
#include "support/utf8.h"
#include "text/gguf_unigram.h"
#include "text/gguf_vocabulary.h"
#include "text/gguf_word_piece.h"
#include "text/normalizer_steps.h"
#include "text/spellings.h"
#include "text/tokenizer_impl.h"

namespace powerhouse {
namespace {

using Attributes = GgufVocabulary;
using Role = GgufUnigram::Role;

constexpr const char* kMerges = "tokenizer.ggml.merges";

class Loader {
 public:
  explicit Loader(const GgufFile& file) : file_(file), impl_(std::make_shared<Tokenizer::Impl>()) {}

  std::shared_ptr<const Tokenizer::Impl> run() {
    const std::string_view model = file_.require_string("tokenizer.ggml.model");
    void (Loader::*const load)() = model == "gpt2" || model == "gemma4" ? &Loader::load_bpe
                                   : model == "llama"                   ? &Loader::load_spm
                                   : model == "t5"                      ? &Loader::load_unigram
                                   : model == "bert"                    ? &Loader::load_word_piece
                                                                        : nullptr;
    if (load == nullptr) {
      throw Error(ErrorKind::unsupported, "a tokenizer model that is not built",
                  {.field = "tokenizer.ggml.model",
                   .expected = "gpt2, gemma4 (BPE), llama (SentencePiece's BPE), t5 (Unigram) or bert (WordPiece)",
                   .found = std::string(model)});
    }
    impl_->added = AddedTokens(AddedTokens::Unparsed::never_match);
    tokens_.emplace(file_, impl_->vocabulary);
    (this->*load)();
    load_chat_templates();
    impl_->added.finish(impl_->normalizer);
    return std::move(impl_);
  }

 private:
  void load_chat_templates() {
    if (const auto source = file_.string("tokenizer.chat_template")) {
      impl_->set_chat_template("default", std::string(*source));
    }
    const auto* names = file_.strings("tokenizer.chat_templates");
    if (names == nullptr) return;
    for (const std::string_view name : *names) {
      const auto source = file_.string("tokenizer.chat_template." + std::string(name));
      if (source) impl_->set_chat_template(replace_invalid_utf8(name), std::string(*source));
    }
  }

  // What a model says of special tokens where the file does not.
  struct Defaults {
    std::optional<std::int64_t> bos{}, eos{}, unk{}, sep{}, pad{};
    bool add_bos = false;
    bool add_eos = false;
    TokenPieces::Kind pieces = TokenPieces::Kind::blanks;
  };

  // The id under `key`; one beyond the vocabulary is a warning and counts for nothing.
  std::optional<std::int64_t> special_id(const char* key, std::optional<std::int64_t> otherwise = {}) const {
    if (otherwise && !impl_->contains(*otherwise)) otherwise.reset();
    const auto id = file_.integer(key);
    if (!id) return otherwise;
    if (impl_->contains(*id)) return id;
    log(LogLevel::warning, file_.path() + ": " + key + " is " + std::to_string(*id) + ", beyond the vocabulary of " +
                               std::to_string(impl_->size()) + " tokens; it is ignored");
    return otherwise;
  }

  void load_special_tokens(const Defaults& defaults) {
    Tokenizer::Impl& out = *impl_;
    out.bos = special_id("tokenizer.ggml.bos_token_id", defaults.bos);
    out.eos = special_id("tokenizer.ggml.eos_token_id", defaults.eos);
    out.unk = special_id("tokenizer.ggml.unknown_token_id", defaults.unk);
    out.pad = special_id("tokenizer.ggml.padding_token_id", defaults.pad);
    const auto sep = special_id("tokenizer.ggml.seperator_token_id", defaults.sep);  // spelled so
    const auto name = [&](const char* role, std::optional<std::int64_t> id) {
      if (id) out.special_names.emplace_back(role, replace_invalid_utf8(out.text(*id)));
    };
    name("bos_token", out.bos);
    name("eos_token", out.eos);
    name("unk_token", out.unk);
    name("pad_token", out.pad);
    out.end_of_generation = tokens_->end_of_generation(
        file_, {out.eos, special_id("tokenizer.ggml.eot_token_id"), special_id("tokenizer.ggml.eom_token_id")});
    add_around("tokenizer.ggml.add_bos_token", defaults.add_bos, out.bos, out.prefix);
    // WordPiece puts the separator there, and llama.cpp asks no key about it.
    if (defaults.sep) {
      if (sep) out.suffix = {*sep};
    } else {
      add_around("tokenizer.ggml.add_eos_token", defaults.add_eos, out.eos, out.suffix);
    }
    add_special_tokens();
    load_pieces(defaults.pieces);
  }

  void add_around(const char* key, bool otherwise, std::optional<std::int64_t> id, std::vector<std::int64_t>& place) {
    if (!file_.boolean(key).value_or(otherwise)) return;
    if (id) {
      place = {*id};
    } else {
      log(LogLevel::warning, file_.path() + ": " + key + " is set, but the file names no such token");
    }
  }

  // The tokens that are found in text before the model sees it.
  void add_special_tokens() {
    const GgufVocabulary::Strips strips = tokens_->strips(file_);
    const auto holds = [](const std::vector<std::int64_t>& ids, std::int64_t id) {
      return std::binary_search(ids.begin(), ids.end(), id);
    };
    for (std::size_t i = 0; i < tokens_->size(); ++i) {
      const auto id = static_cast<std::int64_t>(i);
      const std::string_view text = impl_->vocabulary.text(id);
      const bool special = tokens_->is(i, Attributes::kControl | Attributes::kUnknown);
      // What is no UTF-8 cannot stand in a text, and would match inside a character.
      if ((!special && !tokens_->is(i, Attributes::kUserDefined)) || find_invalid_utf8(text)) continue;
      impl_->added.add({.content = std::string(text),
                        .id = id,
                        .special = special,
                        .lstrip = holds(strips.left, id),
                        .rstrip = holds(strips.right, id)});
    }
  }

  void load_pieces(TokenPieces::Kind normal) {
    using Kind = TokenPieces::Kind;
    auto& kinds = impl_->pieces.kinds;
    kinds.assign(tokens_->size(), Kind::nothing);
    for (std::size_t id = 0; id < kinds.size(); ++id) {
      if (tokens_->is(id, Attributes::kControl | Attributes::kUnknown | Attributes::kUserDefined)) {
        kinds[id] = Kind::verbatim;
      } else if (tokens_->is(id, Attributes::kNormal)) {
        kinds[id] = normal;
      } else if (tokens_->is(id, Attributes::kByte)) {
        kinds[id] = Kind::byte;
      }
    }
  }

  std::vector<double> scores() const {
    auto scores = file_.numbers("tokenizer.ggml.scores");
    return scores ? std::move(*scores) : std::vector<double>(tokens_->size());
  }

  std::optional<std::int32_t> unk_id() const {
    return impl_->unk ? std::optional(static_cast<std::int32_t>(*impl_->unk)) : std::nullopt;
  }

  void escape_blanks() {
    impl_->normalizer.append(std::make_unique<ReplaceStep>(Pattern::of_literal(" "), std::string(kBlank)));
  }

  GgufPreTokenizer pre_tokenizer() const {
    if (file_.require_string("tokenizer.ggml.model") == "gemma4") return gguf_pre_tokenizer("gemma4");
    const auto pre = file_.string("tokenizer.ggml.pre");
    if (!pre) {
      log(LogLevel::warning,
          file_.path() +
              ": tokenizer.ggml.pre is missing; llama.cpp's \"default\" is used, and texts may tokenize otherwise "
              "than in training");
    }
    return gguf_pre_tokenizer(pre.value_or("default"));
  }

  void load_bpe() {
    GgufPreTokenizer meaning = pre_tokenizer();
    const auto* merges = file_.strings(kMerges);
    if (merges == nullptr) {
      throw Error(ErrorKind::format, "missing key", {.file = file_.path(), .field = kMerges});
    }
    MergeLoader loader(impl_->vocabulary, merges->size(), MergeLoader::Repeated::first_wins);
    for (const std::string_view pair : *merges) {
      if (pair.find('\0') == std::string_view::npos) loader.add(pair);  // llama.cpp's tokens end at a NUL
    }
    impl_->model.emplace<Bpe>(impl_->vocabulary, loader.take(),
                              BpeOptions{.byte_fallback = meaning.flags.characters,
                                         .ignore_merges = meaning.flags.ignore_merges,
                                         .whole_newlines = meaning.flags.whole_newlines,
                                         .keep_unknown = true});
    if (meaning.flags.escape_blanks) escape_blanks();
    impl_->pre_tokenizer = std::move(meaning.pre_tokenizer);
    if (file_.boolean("tokenizer.ggml.add_space_prefix").value_or(false)) {
      log(LogLevel::warning, file_.path() + ": tokenizer.ggml.add_space_prefix has no meaning for BPE by merges");
    }
    load_special_tokens(
        {.add_bos = meaning.flags.add_bos,
         .pieces = meaning.flags.escape_blanks ? TokenPieces::Kind::blanks : TokenPieces::Kind::alphabet});
    // llama.cpp adds Gemma 4's BOS whatever the file says.
    if (meaning.flags.whole_newlines && impl_->bos) impl_->prefix = {*impl_->bos};
  }

  void load_spm() {
    const bool add_prefix = file_.boolean("tokenizer.ggml.add_space_prefix").value_or(true);
    if (add_prefix) impl_->normalizer.append(std::make_unique<PrependStep>(" "));
    escape_blanks();
    impl_->pre_tokenizer.finish(false);
    impl_->pieces.drops_first = add_prefix;
    load_special_tokens({.bos = 1, .eos = 2, .unk = 0, .add_bos = true});
    impl_->model.emplace<Spm>(impl_->vocabulary, scores(), unk_id());
  }

  void load_unigram() {
    std::vector<Role> roles;
    std::vector<std::string_view> user_defined;
    for (std::size_t id = 0; id < tokens_->size(); ++id) {
      const bool user = tokens_->is(id, Attributes::kUserDefined);
      roles.push_back(tokens_->is(id, Attributes::kNormal)   ? Role::normal
                      : user                                 ? Role::user_defined
                      : tokens_->is(id, Attributes::kUnused) ? Role::unused
                                                             : Role::hidden);
      if (user) user_defined.push_back(impl_->vocabulary.text(static_cast<std::int64_t>(id)));
    }
    const GgufUnigramNormalizer::Options options{
        .add_space_prefix = file_.boolean("tokenizer.ggml.add_space_prefix").value_or(false),
        .remove_extra_whitespaces = file_.boolean("tokenizer.ggml.remove_extra_whitespaces").value_or(false)};
    impl_->normalizer.append(std::make_unique<GgufUnigramNormalizer>(charsmap(), user_defined, options));
    impl_->pre_tokenizer.finish(false);
    impl_->pieces.drops_first = options.add_space_prefix;
    load_special_tokens({.eos = 1, .unk = 2, .pad = 0, .add_eos = true});
    impl_->model.emplace<GgufUnigram>(impl_->vocabulary, scores(), roles, unk_id());
  }

  std::optional<Charsmap> charsmap() const {
    const GgufArray* array = file_.array("tokenizer.ggml.precompiled_charsmap");
    if (array == nullptr) return std::nullopt;
    if (array->element != GgufType::u8 && array->element != GgufType::i8) {
      throw Error(ErrorKind::format, "a charsmap is an array of bytes",
                  {.field = "tokenizer.ggml.precompiled_charsmap", .found = std::string(to_string(array->element))});
    }
    return Charsmap({reinterpret_cast<const char*>(array->bytes.data()), array->bytes.size()});
  }

  void load_word_piece() {
    const bool lowercase = file_.boolean("tokenizer.ggml.normalizer.lowercase").value_or(true);
    const bool strip = file_.boolean("tokenizer.ggml.normalizer.strip_accents").value_or(lowercase);
    impl_->normalizer.append(std::make_unique<GgufWordNormalizer>(lowercase, strip));
    impl_->pre_tokenizer.append(std::unique_ptr<const PreTokenizerStep>(std::make_unique<GgufWordsStep>()));
    impl_->pre_tokenizer.finish(false);
    impl_->pieces.drops_first = true;
    load_special_tokens({.bos = 101, .unk = 100, .sep = 102, .pad = 0, .add_bos = true});
    if (impl_->bos) impl_->prefix = {*impl_->bos};
    impl_->model.emplace<GgufWordPiece>(impl_->vocabulary, unk_id());
  }

  const GgufFile& file_;
  std::shared_ptr<Tokenizer::Impl> impl_;
  std::optional<GgufVocabulary> tokens_;
};

}  // namespace

std::shared_ptr<const Tokenizer::Impl> tokenizer_from_gguf(const GgufFile& file) {
  try {
    return Loader(file).run();
  } catch (const Error& error) {
    throw error.in_file(file.path());
  }
}

}  // namespace powerhouse
