#include "text/tokenizer_presets.h"

#include "powerhouse/error.h"

namespace powerhouse {
namespace {

// As the classes of `tokenizers` that are made for these models write them.
constexpr std::string_view kByteLevel =
    R"({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true})";
constexpr std::string_view kByteLevelDecoder =
    R"({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true})";
constexpr std::string_view kByteLevelOffsets =
    R"({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true})";
constexpr std::string_view kMetaspace =
    R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true})";
constexpr std::string_view kBertNormalizer =
    R"({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, )"
    R"("lowercase": true})";
constexpr std::string_view kWordPieceDecoder = R"({"type": "WordPiece", "prefix": "##", "cleanup": true})";

Json part(std::string_view text, std::string_view name) { return Json::parse(text, name); }

TokenizerParts preset(std::string_view name) {
  TokenizerParts parts;
  if (name.empty()) return parts;
  if (name == "whitespace") {
    parts.pre_tokenizer = part(R"({"type": "Whitespace"})", name);
  } else if (name == "gpt2") {
    parts.pre_tokenizer = part(kByteLevel, name);
    parts.decoder = part(kByteLevelDecoder, name);
    parts.post_processor = part(kByteLevelOffsets, name);
    parts.byte_alphabet = true;
  } else if (name == "llama") {
    parts.pre_tokenizer = part(kMetaspace, name);
    parts.decoder = part(kMetaspace, name);
  } else if (name == "bert") {
    parts.normalizer = part(kBertNormalizer, name);
    parts.pre_tokenizer = part(R"({"type": "BertPreTokenizer"})", name);
    parts.decoder = part(kWordPieceDecoder, name);
    parts.bert_template = true;
  } else {
    throw Error(ErrorKind::usage, "no such preset",
                {.field = "preset", .expected = "whitespace, gpt2, llama, bert or none", .found = std::string(name)});
  }
  return parts;
}

}  // namespace

TokenizerParts tokenizer_parts(const TokenizerTrainingOptions& options) {
  TokenizerParts parts = preset(options.preset);
  if (const auto* word_piece = std::get_if<WordPieceTrainerOptions>(&options.trainer);
      word_piece != nullptr && options.preset == "bert") {
    parts.decoder.as_object()["prefix"] = word_piece->continuing_subword_prefix;
  }
  if (!options.normalizer.empty()) parts.normalizer = part(options.normalizer, "normalizer");
  if (!options.pre_tokenizer.empty()) parts.pre_tokenizer = part(options.pre_tokenizer, "pre_tokenizer");
  if (!options.decoder.empty()) parts.decoder = part(options.decoder, "decoder");
  if (!options.post_processor.empty()) {
    parts.post_processor = part(options.post_processor, "post_processor");
    parts.bert_template = false;
  }
  return parts;
}

}  // namespace powerhouse
