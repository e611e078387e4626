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

void Tokenizer::Impl::append_bytes(std::string& out, std::int64_t id) const {
  const std::string_view token = text(id);
  const bool verbatim = decoder != TokenDecoder::byte_level || (added_are_verbatim && added.find(id) != nullptr);
  if (verbatim) {
    out.append(token);
  } else {
    append_from_byte_level(out, token);
  }
}

void Tokenizer::Impl::add_end_of_generation(std::optional<std::int64_t> id) {
  if (!id || std::find(end_of_generation.begin(), end_of_generation.end(), *id) != end_of_generation.end()) return;
  end_of_generation.push_back(*id);
}

// Text without added tokens.
void Tokenizer::Impl::encode_text(std::string_view text, std::vector<std::int64_t>& out) const {
  if (pre_tokenizer.gives_bytes()) {
    const Bpe& bpe = std::get<Bpe>(model);
    pre_tokenizer.split(text, [&](std::string_view piece) { bpe.encode_bytes(piece, out); });
    return;
  }
  visit_model(model, [&](const auto& model) {
    pre_tokenizer.split(text, [&](std::string_view piece) { model.encode(piece, out); });
  });
}

std::vector<std::int64_t> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  if (const auto offset = find_invalid_utf8(text)) {
    throw Error(ErrorKind::format, "text is not valid UTF-8",
                {.field = "text", .found = "byte " + std::to_string(*offset)});
  }
  std::vector<std::int64_t> ids;
  std::string storage;
  for (const auto& raw : impl_->added.split(text, AddedTokens::Pass::raw, options.parse_special)) {
    if (raw.id) {
      ids.push_back(*raw.id);
      continue;
    }
    const std::string_view normal = impl_->normalizer.apply(raw.text, storage);
    if (!impl_->added.has(AddedTokens::Pass::normalized)) {
      impl_->encode_text(normal, ids);
      continue;
    }
    for (const auto& part : impl_->added.split(normal, AddedTokens::Pass::normalized, options.parse_special)) {
      part.id ? ids.push_back(*part.id) : impl_->encode_text(part.text, ids);
    }
  }
  if (!options.add_special_tokens) return ids;
  // Never a second BOS: a text that begins with the token that would stand right before it keeps its own.
  std::span<const std::int64_t> prefix = impl_->prefix;
  if (!prefix.empty() && !ids.empty() && prefix.back() == ids.front()) prefix = prefix.first(prefix.size() - 1);
  ids.insert(ids.begin(), prefix.begin(), prefix.end());
  ids.insert(ids.end(), impl_->suffix.begin(), impl_->suffix.end());
  return ids;
}

std::string Tokenizer::decode(std::span<const std::int64_t> ids, DecodeOptions options) const {
  std::string bytes;
  bool first = true;
  for (const std::int64_t id : ids) {
    if (options.skip_special_tokens && impl_->is_special(id)) continue;
    if (!first && impl_->decoder == TokenDecoder::joined_by_blanks) bytes += ' ';
    first = false;
    impl_->append_bytes(bytes, id);
  }
  return replace_invalid_utf8(bytes);
}

Tokenizer Tokenizer::from_pretrained(const std::string& path) {
  if (checkpoint_kind(path) == CheckpointKind::gguf) {
    return Tokenizer(tokenizer_from_gguf(*GgufFile::open(path)));
  }
  return Tokenizer(tokenizer_from_folder(path));
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
std::string Tokenizer::chat_template() const { return impl_->chat_template; }

std::string Tokenizer::special_tokens_json() const {
  JsonObject object;
  for (const auto& [role, text] : impl_->special_names) object[role] = Json(text);
  return Json(std::move(object)).dump();
}

}  // namespace powerhouse
