// Tokenizer: the stages put together. Text is checked once, at the door; every stage after that may trust its UTF-8.
#include "powerhouse/tokenizer.h"

#include <algorithm>

#include "formats/checkpoint.h"
#include "powerhouse/error.h"
#include "support/json.h"
#include "support/utf8.h"
#include "text/byte_level.h"
#include "text/tokenizer_gguf.h"
#include "text/tokenizer_impl.h"
#include "text/tokenizer_json.h"
#include "text/tokenizer_sentencepiece.h"
#include "text/tokenizer_tiktoken.h"
#include "text/unicode.h"

namespace powerhouse {

std::size_t Tokenizer::Impl::size() const { return std::max(vocabulary.size(), added_end); }

bool Tokenizer::Impl::contains(std::int64_t id) const { return vocabulary.contains(id) || added.find(id) != nullptr; }

std::optional<std::int64_t> Tokenizer::Impl::find(std::string_view token) const {
  if (const AddedToken* found = added.find(token)) return found->id;
  return vocabulary.find(token);
}

std::string_view Tokenizer::Impl::text(std::int64_t id) const {
  if (const AddedToken* found = added.find(id)) return found->spelling;
  if (vocabulary.contains(id)) return vocabulary.text(id);
  throw Error(ErrorKind::range, "no token has this id",
              {.field = "token id",
               .expected = "0 to " + std::to_string(static_cast<std::int64_t>(size()) - 1),
               .found = std::to_string(id)});
}

bool Tokenizer::Impl::is_special(std::int64_t id) const {
  const AddedToken* token = added.find(id);
  return token != nullptr && token->special;
}

// A special token whose normal form is another text is shown, as `tokenizers` looks for its content.
bool Tokenizer::Impl::is_skipped(std::int64_t id) const {
  const AddedToken* token = added.find(id);
  return token != nullptr && token->special && token->spelling == token->content;
}

void Tokenizer::Impl::decode_token(std::int64_t id, DecoderState& state) const {
  const std::string_view spelled = text(id);
  if (pieces.kinds.empty()) return decoder.take(spelled, false, state);
  const bool first = state.steps.empty() || state.steps[0].tokens == 0;
  decoder.take(pieces.bytes(static_cast<std::size_t>(id), spelled, first), true, state);
}

void Tokenizer::Impl::add_end_of_generation(std::optional<std::int64_t> id) {
  if (!id || std::find(end_of_generation.begin(), end_of_generation.end(), *id) != end_of_generation.end()) return;
  end_of_generation.push_back(*id);
}

void Tokenizer::Impl::set_role(std::string_view role, std::string_view token) {
  const std::optional<std::int64_t> id = find(token);
  if (role == "bos_token") bos = id;
  if (role == "eos_token") eos = id;
  if (role == "pad_token") pad = id;
  if (role == "unk_token") unk = id;
  const auto named =
      std::find_if(special_names.begin(), special_names.end(), [&](const auto& entry) { return entry.first == role; });
  if (named == special_names.end()) {
    special_names.emplace_back(role, token);
  } else {
    named->second = token;
  }
}

namespace {

// transformers would make a special token of any text, with a new id where there is none.
void check_special(const Tokenizer::Impl& tokenizer, const SpecialToken& special, const std::string& path) {
  const auto& [role, token] = special;
  const ErrorDetails where{.file = path, .field = "special_tokens." + role, .found = token};
  if (role != "bos_token" && role != "eos_token" && role != "pad_token" && role != "unk_token") {
    throw Error(ErrorKind::usage, "no such special token", where);
  }
  const std::optional<std::int64_t> id = tokenizer.find(token);
  if (!id) throw Error(ErrorKind::not_found, "the vocabulary has no such token", where);
  if (!tokenizer.is_special(*id)) throw Error(ErrorKind::unsupported, "not a special token of the tokenizer", where);
}

void require_utf8(std::string_view text) {
  if (const auto offset = find_invalid_utf8(text)) {
    throw Error(ErrorKind::format, "text is not valid UTF-8",
                {.field = "text", .found = "byte " + std::to_string(*offset)});
  }
}

// Text without added tokens; `start` is 0 where it begins the original text.
void encode_plain(const Tokenizer::Impl& tokenizer, std::string_view text, std::size_t start, WordEncoder& encoder) {
  const PreTokenizer& pre_tokenizer = tokenizer.pre_tokenizer;
  if (pre_tokenizer.gives_bytes()) {
    const Bpe& bpe = std::get<Bpe>(tokenizer.model);
    if (pre_tokenizer.word_rule()) return encoder.add_words(*pre_tokenizer.word_rule(), text, bpe);
    const auto encode = [&](std::string_view piece, std::vector<std::int64_t>& ids) { bpe.encode_bytes(piece, ids); };
    pre_tokenizer.split(
        text, [&](std::string_view piece) { encoder.add_piece(piece, encode); }, start);
    return;
  }
  if (const auto* model = std::get_if<SentencePieceModel>(&tokenizer.model)) {
    return encoder.add_text([&](std::vector<std::int64_t>& ids) { model->encode(text, ids, start == 0); });
  }
  visit_model(tokenizer.model, [&](const auto& model) {
    const auto encode = [&](std::string_view piece, std::vector<std::int64_t>& ids) { model.encode(piece, ids); };
    pre_tokenizer.split(
        text, [&](std::string_view piece) { encoder.add_piece(piece, encode); }, start);
  });
}

// The spaces at the ends of a token's own text, written out or in the byte-level alphabet.
void count_spaces(std::string_view text, EncodedToken& token) {
  const auto is_space = [](char32_t c) { return c == kByteAlphabet[' '] || unicode::is_space(c); };
  for (std::size_t at = 0; at < text.size(); ++token.spaces_before) {
    const auto [code_point, length] = unicode::character_at(text, at);
    if (!is_space(code_point)) break;
    at += length;
  }
  for (std::size_t end = text.size(); end > 0; ++token.spaces_after) {
    end = unicode::previous_boundary(text, end);
    if (!is_space(unicode::character_at(text, end).code_point)) break;
  }
}

}  // namespace

std::vector<std::int64_t> Tokenizer::Impl::encode_ids(std::string_view text, bool parse_special) const {
  const WordEncoders::Lease encoder(encoders, 0);
  return encode_ids(text, parse_special, *encoder);
}

std::vector<std::int64_t> Tokenizer::Impl::encode_ids(std::string_view text, bool parse_special,
                                                      WordEncoder& encoder) const {
  if (pre_tokenizer.needs_start() && !normalizer.keeps_start()) {
    std::vector<std::int64_t> ids;
    for (const EncodedToken& token : encode_tokens(text, parse_special)) ids.push_back(token.id);
    return ids;
  }
  require_utf8(text);
  std::optional<RegexTime> time;
  if (!normalizer.empty() || !pre_tokenizer.word_rule()) time.emplace(text.size());
  encoder.clear();
  std::string storage;
  for (const auto& raw : added.split(text, AddedTokens::Pass::raw, parse_special)) {
    if (raw.id) {
      encoder.add(*raw.id);
      continue;
    }
    const auto start = static_cast<std::size_t>(raw.text.data() - text.data());
    const std::string_view normal = normalizer.apply(raw.text, storage);
    if (!added.has(AddedTokens::Pass::normalized)) {
      encode_plain(*this, normal, start, encoder);
      continue;
    }
    for (const auto& part : added.split(normal, AddedTokens::Pass::normalized, parse_special)) {
      const auto within = static_cast<std::size_t>(part.text.data() - normal.data());
      part.id ? encoder.add(*part.id) : encode_plain(*this, part.text, start + within, encoder);
    }
  }
  return encoder.take();
}

std::vector<EncodedToken> Tokenizer::Impl::encode_tokens(std::string_view text, bool parse_special) const {
  require_utf8(text);
  const RegexTime time(text.size());
  std::vector<EncodedToken> tokens;
  std::vector<TokenSpan> spans;
  const bool trims = post_processor && !post_processor->trims.empty();
  const bool shows_unknown = std::holds_alternative<Unigram>(model);  // its unknown tokens are called by their text
  const auto add = [&](std::int64_t id, const Origin& bytes, std::string_view spelling) {
    tokens.push_back({id, bytes});
    if (trims) count_spaces(spelling, tokens.back());
  };
  const auto add_whole = [&](std::int64_t id, const AlignedText& part) {
    add(id, part.origin_of(0, part.text.size()), part.text);
  };
  const auto encode_piece = [&](const AlignedText& piece) {
    spans.clear();
    if (const auto* whole = std::get_if<SentencePieceModel>(&model)) {
      whole->encode_spans(piece.text, spans, piece.text.data() == text.data());
    } else {
      visit_model(model, [&](const auto& model) { model.encode_spans(piece.text, spans); });
    }
    for (const TokenSpan& span : spans) {
      const bool own = span.unknown && shows_unknown;
      add(span.id, piece.origin_of(span.begin, span.end),
          own ? piece.text.substr(span.begin, span.end - span.begin) : vocabulary.text(span.id));
    }
  };
  std::size_t budget = AlignedText::budget_for(text.size());
  const AlignedText whole{.text = text, .tracked = true, .budget = &budget};
  for (const auto& raw : added.split(text, AddedTokens::Pass::raw, parse_special)) {
    const AlignedText part = whole.slice(raw.text);
    if (raw.id) {
      add_whole(*raw.id, part);
      continue;
    }
    TextBuffer storage;
    const AlignedText normal = normalizer.apply(part, storage);
    for (const auto& inner : added.split(normal.text, AddedTokens::Pass::normalized, parse_special)) {
      const AlignedText slice = normal.slice(inner.text);
      inner.id ? add_whole(*inner.id, slice) : pre_tokenizer.split_tracked(slice, encode_piece);
    }
  }
  return tokens;
}

std::vector<std::int64_t> Tokenizer::Impl::encode(std::string_view text, const EncodeOptions& options,
                                                  WordEncoder& encoder) const {
  std::vector<std::int64_t> ids = encode_ids(text, options.parse_special, encoder);
  if (!options.add_special_tokens) return ids;
  // Never a second BOS: a text that begins with the token that would stand right before it keeps its own.
  std::span<const std::int64_t> before = prefix;
  if (!before.empty() && !ids.empty() && before.back() == ids.front()) before = before.first(before.size() - 1);
  ids.insert(ids.begin(), before.begin(), before.end());
  ids.insert(ids.end(), suffix.begin(), suffix.end());
  return ids;
}

std::vector<std::int64_t> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  const WordEncoders::Lease encoder(impl_->encoders, 0);
  return impl_->encode(text, options, *encoder);
}

std::string Tokenizer::decode(std::span<const std::int64_t> ids, DecodeOptions options) const {
  DecoderState state = impl_->decoder.start(false);
  for (const std::int64_t id : ids) {
    if (options.skip_special_tokens && impl_->is_skipped(id)) continue;
    impl_->decode_token(id, state);
  }
  impl_->decoder.finish(state);
  return replace_invalid_utf8(state.out);
}

Tokenizer Tokenizer::from_pretrained(const std::string& path) {
  if (checkpoint_kind(path) == CheckpointKind::gguf) {
    if (path.ends_with(".tiktoken")) return Tokenizer(tokenizer_from_tiktoken(path));
    if (path.ends_with(".model")) {
      return Tokenizer(is_tiktoken(path) ? tokenizer_from_tiktoken(path) : tokenizer_from_sentencepiece(path));
    }
    return Tokenizer(tokenizer_from_gguf(*GgufFile::open(path)));
  }
  return Tokenizer(tokenizer_from_folder(path));
}

Tokenizer Tokenizer::from_pretrained(const std::string& path, std::span<const SpecialToken> special_tokens) {
  Tokenizer tokenizer = from_pretrained(path);
  Impl& own = const_cast<Impl&>(*tokenizer.impl_);  // nobody shares it yet
  for (const SpecialToken& special : special_tokens) {
    check_special(own, special, path);
    own.set_role(special.first, special.second);
  }
  own.add_end_of_generation(own.eos);
  return tokenizer;
}

Tokenizer::Tokenizer(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(const Tokenizer&) = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(const Tokenizer&) = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

std::size_t Tokenizer::vocab_size() const { return impl_->size(); }
std::optional<std::int64_t> Tokenizer::token_to_id(std::string_view token) const { return impl_->find(token); }
std::string Tokenizer::id_to_token(std::int64_t id) const { return std::string(impl_->text(id)); }
bool Tokenizer::is_special(std::int64_t id) const { return impl_->is_special(id); }
std::optional<std::int64_t> Tokenizer::bos_token_id() const { return impl_->bos; }
std::optional<std::int64_t> Tokenizer::eos_token_id() const { return impl_->eos; }
std::optional<std::int64_t> Tokenizer::pad_token_id() const { return impl_->pad; }
std::optional<std::int64_t> Tokenizer::unk_token_id() const { return impl_->unk; }
std::vector<std::int64_t> Tokenizer::end_of_generation_ids() const { return impl_->end_of_generation; }

std::string Tokenizer::special_tokens_json() const {
  JsonObject object;
  for (const auto& [role, text] : impl_->special_names) object[role] = Json(text);
  return Json(std::move(object)).dump();
}

}  // namespace powerhouse
