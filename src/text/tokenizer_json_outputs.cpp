// The post-processor and the decoder of tokenizer.json.
#include <algorithm>

#include "powerhouse/error.h"
#include "text/decoder_steps.h"
#include "text/tokenizer_impl.h"
#include "text/tokenizer_json.h"

namespace powerhouse {
namespace {

using TemplatePieces = std::vector<TemplatePiece>;
using PieceKind = TemplatePiece::Kind;

// A hostile template could name one token of many ids again and again.
constexpr std::size_t kMaxPieces = 4096;

void require_token(const Tokenizer::Impl& tokenizer, std::int64_t id, std::string_view place) {
  if (tokenizer.contains(id)) return;
  throw Error(ErrorKind::format, "a template names a token that the vocabulary lacks",
              {.field = std::string(place), .found = std::to_string(id)});
}

TemplatePieces read_template(const Tokenizer::Impl& tokenizer, const Json& description, const std::string& key) {
  const std::string place = "post_processor." + key;
  const Json* specials = description.get("special_tokens");
  TemplatePieces out;
  for (const Json& item : description.at(key).as_array(place)) {
    if (const Json* sequence = item.get("Sequence")) {
      const std::string& name = sequence->at("id").as_string(place + ".Sequence.id");
      if (name != "A" && name != "B") {
        throw Error(ErrorKind::format, "a template names an unknown text",
                    {.field = place, .expected = "A or B", .found = name});
      }
      out.push_back({name == "A" ? PieceKind::first : PieceKind::second, -1, sequence->integer_or("type_id", 0)});
      continue;
    }
    const Json& token = item.at("SpecialToken");
    const std::string& name = token.at("id").as_string(place + ".SpecialToken.id");
    const Json* special = specials == nullptr ? nullptr : specials->get(name);
    if (special == nullptr) {
      throw Error(ErrorKind::format, "a template names an unknown special token",
                  {.field = "post_processor.special_tokens", .found = name});
    }
    for (const Json& value : special->at("ids").as_array("post_processor.special_tokens.ids")) {
      const std::int64_t id = value.as_integer("post_processor.special_tokens.ids");
      require_token(tokenizer, id, "post_processor.special_tokens.ids");
      out.push_back({PieceKind::token, id, token.integer_or("type_id", 0)});
      if (out.size() > kMaxPieces) {
        throw Error(ErrorKind::format, "a template is too long",
                    {.field = place, .expected = "at most " + std::to_string(kMaxPieces) + " pieces"});
      }
    }
  }
  return out;
}

std::ptrdiff_t count_texts(const TemplatePieces& pieces, PieceKind kind) {
  return std::count_if(pieces.begin(), pieces.end(), [&](const TemplatePiece& piece) { return piece.kind == kind; });
}

// ["[SEP]", 102]
std::int64_t read_named_id(const Tokenizer::Impl& tokenizer, const Json& description, const std::string& key) {
  const std::string place = "post_processor." + key;
  const Json::Array& pair = description.at(key).as_array(place);
  if (pair.size() != 2) throw Error(ErrorKind::format, "not a token and its id", {.field = place});
  const std::int64_t id = pair[1].as_integer(place);
  require_token(tokenizer, id, place);
  return id;
}

class PostProcessorLoader {
 public:
  explicit PostProcessorLoader(const Tokenizer::Impl& tokenizer) : tokenizer_(tokenizer) {}

  void add(const Json& description) {
    const std::string& type = description.at("type").as_string("post_processor.type");
    if (type == "Sequence") {
      for (const Json& part : description.at("processors").as_array("post_processor.processors")) add(part);
    } else if (type == "ByteLevel") {
      add_trim(description);
    } else if (type == "TemplateProcessing") {
      TemplatePieces single = read_template(tokenizer_, description, "single");
      TemplatePieces pair =
          description.get("pair") != nullptr ? read_template(tokenizer_, description, "pair") : TemplatePieces{};
      put(std::move(single), std::move(pair));
    } else if (type == "BertProcessing" || type == "RobertaProcessing") {
      add_bert(description, type == "RobertaProcessing");
    } else {
      refuse_component("post_processor", type,
                       "BertProcessing, ByteLevel, RobertaProcessing, Sequence, TemplateProcessing");
    }
  }
  PostProcessor take() { return std::move(out_); }

 private:
  void add_trim(const Json& description) {
    if (!description.bool_or("trim_offsets", true)) return;
    if (out_.trims.size() == 64)
      throw Error(ErrorKind::format, "too many post-processors", {.field = "post_processor"});
    out_.trims.push_back({description.bool_or("add_prefix_space", true)});
  }

  void add_bert(const Json& description, bool roberta) {
    const TemplatePiece cls{PieceKind::token, read_named_id(tokenizer_, description, "cls"), 0};
    const TemplatePiece sep{PieceKind::token, read_named_id(tokenizer_, description, "sep"), 0};
    const std::int64_t second = roberta ? 0 : 1;  // RoBERTa knows one type
    if (roberta) add_trim(description);
    TemplatePieces single{cls, {PieceKind::first, -1, 0}, sep};
    TemplatePieces pair = single;
    if (roberta) pair.push_back(sep);
    pair.push_back({PieceKind::second, -1, second});
    pair.push_back({PieceKind::token, sep.id, second});
    put(std::move(single), std::move(pair));
  }

  void put(TemplatePieces single, TemplatePieces pair) {
    if (has_template_) {
      throw Error(ErrorKind::unsupported, "a sequence of post-processors with two templates",
                  {.field = "post_processor.processors", .expected = "one template"});
    }
    has_template_ = true;
    if (count_texts(single, PieceKind::first) != 1 || count_texts(single, PieceKind::second) != 0) {
      throw Error(ErrorKind::format, "a template must hold the text once",
                  {.field = "post_processor.single", .expected = "A"});
    }
    // Many files leave it out: then there are no pairs.
    if (count_texts(pair, PieceKind::first) != 1 || count_texts(pair, PieceKind::second) != 1) pair.clear();
    out_.single = std::move(single);
    out_.pair = std::move(pair);
  }

  const Tokenizer::Impl& tokenizer_;
  PostProcessor out_;
  bool has_template_ = false;
};

void add_decoder(DecoderChain& decoder, const Json& description, int& count) {
  if (++count > 64) throw Error(ErrorKind::format, "a tokenizer has too many decoders", {.field = "decoder"});
  const auto size = [&](const char* key) {
    const std::int64_t value = description.integer_or(key, 0);
    if (value < 0) throw Error(ErrorKind::format, "a negative count", {.field = std::string("decoder.") + key});
    return static_cast<std::size_t>(std::min<std::int64_t>(value, 1 << 20));
  };
  const std::string& type = description.at("type").as_string("decoder.type");
  if (type == "Sequence") {
    for (const Json& part : description.at("decoders").as_array("decoder.decoders")) add_decoder(decoder, part, count);
    return;
  }
  if (type == "ByteLevel") return decoder.append(std::make_unique<BytesStep>());
  if (type == "Fuse") return decoder.append(std::make_unique<FuseStep>());
  if (type == "ByteFallback") return decoder.append(std::make_unique<ByteTokensStep>());
  if (type == "BPEDecoder") {
    return decoder.append(std::make_unique<SuffixStep>(description.string_or("suffix", "</w>")));
  }
  if (type == "WordPiece") {
    return decoder.append(
        std::make_unique<WordPieceStep>(description.string_or("prefix", "##"), description.bool_or("cleanup", true)));
  }
  if (type == "CTC") {
    return decoder.append(std::make_unique<CtcStep>(description.string_or("pad_token", "<pad>"),
                                                    description.string_or("word_delimiter_token", "|"),
                                                    description.bool_or("cleanup", true)));
  }
  if (type == "Metaspace") {
    const Json* old = description.get("add_prefix_space");
    const bool never = old != nullptr && !old->as_bool("decoder.add_prefix_space");
    const std::string scheme = description.string_or("prepend_scheme", never ? "never" : "always");
    return decoder.append(
        std::make_unique<MetaspaceDecoderStep>(read_character(description, "replacement", "decoder.replacement"),
                                               read_prepend_scheme(scheme, "decoder.prepend_scheme")));
  }
  if (type == "Replace") {
    return decoder.append(
        std::make_unique<ReplaceDecoderStep>(load_pattern(description.at("pattern"), "decoder.pattern"),
                                             description.at("content").as_string("decoder.content")));
  }
  if (type == "Strip") {
    const char32_t content = read_character(description, "content", "decoder.content");
    return decoder.append(std::make_unique<StripStep>(content, size("start"), size("stop"), decoder.joined()));
  }
  refuse_component("decoder", type,
                   "BPEDecoder, ByteFallback, ByteLevel, CTC, Fuse, Metaspace, Replace, Sequence, Strip, WordPiece");
}

}  // namespace

void load_post_processor(Tokenizer::Impl& tokenizer, const Json* description) {
  PostProcessorLoader loader(tokenizer);
  if (description != nullptr) loader.add(*description);
  set_post_processor(tokenizer, loader.take());
}

void set_post_processor(Tokenizer::Impl& tokenizer, PostProcessor post) {
  tokenizer.prefix.clear();
  tokenizer.suffix.clear();
  bool seen = false;
  for (const TemplatePiece& piece : post.single) {
    if (piece.kind == PieceKind::token) (seen ? tokenizer.suffix : tokenizer.prefix).push_back(piece.id);
    seen = seen || piece.kind == PieceKind::first;
  }
  tokenizer.post_processor = std::move(post);
}

DecoderChain load_decoder(const Json* description) {
  DecoderChain decoder;
  int count = 0;
  if (description == nullptr) {
    decoder.append(std::make_unique<BlanksStep>());
  } else {
    add_decoder(decoder, *description, count);
  }
  return decoder;
}

}  // namespace powerhouse
