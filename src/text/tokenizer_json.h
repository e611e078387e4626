// tokenizer.json of Hugging Face's `tokenizers`, and tokenizer_config.json of transformers beside it.
//
// The file is a graph of components: normalizer, pre-tokenizer, model, post-processor, decoder. Each is built as it is
// described or refused by name (Error{unsupported} that lists the known ones); none is replaced by something near it.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "powerhouse/tokenizer.h"
#include "support/json.h"
#include "text/decoder.h"
#include "text/normalizer.h"
#include "text/post_processor.h"
#include "text/pre_tokenizer.h"

namespace powerhouse {

/// From the folder's tokenizer.json, tokenizer_config.json, special_tokens_map.json and chat_template.jinja; all but
/// the first may be absent. Error{not_found, format, unsupported}.
std::shared_ptr<const Tokenizer::Impl> tokenizer_from_folder(const std::string& folder);

/// From the texts of tokenizer.json and (or empty) tokenizer_config.json; `origin` names the first in errors.
std::shared_ptr<const Tokenizer::Impl> tokenizer_from_json(std::string_view tokenizer, std::string_view config = {},
                                                           std::string_view origin = "tokenizer.json");

// The steps of loading, in their order.

/// The components of tokenizer.json; nothing is finished yet.
std::shared_ptr<Tokenizer::Impl> load_tokenizer_json(std::string_view text, std::string_view origin);
/// What tokenizer_config.json says on top: special tokens and the chat template.
void apply_tokenizer_config(Tokenizer::Impl& tokenizer, const Json& config);

/// Fills in the vocabulary and the model; the rest of the document, without them.
Json load_model(Tokenizer::Impl& tokenizer, std::string_view text, std::string_view origin);
/// The chat templates of tokenizer_config.json: a text, or a list of {name, template}.
void read_chat_templates(Tokenizer::Impl& tokenizer, const Json& config);
/// Those of files of their own, which come before it: chat_template.jinja and additional_chat_templates/NAME.jinja. A
/// processor's chat_template.json counts only where there is no other.
void read_chat_template_files(Tokenizer::Impl& tokenizer, const std::string& folder);

Normalizer load_normalizer(const Json* description);
/// `takes_bytes`: whether the model can take raw bytes where the chain ends in a byte-level step.
PreTokenizer load_pre_tokenizer(const Json* description, bool takes_bytes);
void load_post_processor(Tokenizer::Impl& tokenizer, const Json* description);
/// Puts a post-processor in place, the ids of its single template in `prefix` and `suffix`.
void set_post_processor(Tokenizer::Impl& tokenizer, PostProcessor post);
DecoderChain load_decoder(const Json* description);

/// {"String": ...} or {"Regex": ...}.
Pattern load_pattern(const Json& description, std::string_view place);
PrependScheme read_prepend_scheme(std::string_view name, std::string_view place);
/// The value of a key that must be a text of one character.
char32_t read_character(const Json& description, std::string_view key, std::string_view place);

struct AddedToken;
/// Adds a token as `tokenizers` numbers it: the model's id where the model knows it, else the next free id.
void add_token(Tokenizer::Impl& tokenizer, AddedToken token);
/// A token's flags from {"content": ..., "lstrip": ...}.
AddedToken read_added_token(const Json& description);

/// Error{unsupported} for a component of an unknown type.
[[noreturn]] void refuse_component(std::string_view place, std::string_view type, std::string_view known);

}  // namespace powerhouse
