#include "training/data/preference_tokens.h"

#include <algorithm>

#include "powerhouse/error.h"
#include "training/data/chat_turns.h"

namespace powerhouse::training {
namespace {

using Ids = std::vector<std::int64_t>;

std::string without_blanks_behind(std::string text) {
  const std::size_t last = text.find_last_not_of(" \t\n\r\f\v");
  text.resize(last == std::string::npos ? 0 : last + 1);
  return text;
}

std::size_t common_prefix(const Ids& a, const Ids& b) {
  const auto parted = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first;
  return static_cast<std::size_t>(parted - a.begin());
}

}  // namespace

PreferenceTokenizer::PreferenceTokenizer(const Tokenizer& tokenizer, const DatasetSource& source,
                                         const PreferenceDatasetOptions& options)
    : tokenizer_(tokenizer),
      template_(tokenizer, source, {.chat_template = options.chat_template}),
      bos_and_eos_(options.bos_and_eos) {
  eos_ = Json::parse(tokenizer.special_tokens_json(), "special tokens").string_or("eos_token", "");
}

// The prompt's ids, then those of the prompt with each completion.
std::vector<Ids> PreferenceTokenizer::encode_texts(const PreferenceTexts& texts, bool special_tokens) const {
  const EncodeOptions options{.add_special_tokens = special_tokens};
  std::vector<Ids> out{tokenizer_.encode(texts.prompt, options)};
  for (std::string completion : texts.completions) {
    if (!completion.ends_with(eos_)) completion += eos_;
    out.push_back(tokenizer_.encode(texts.prompt + completion, options));
  }
  return out;
}

std::vector<Ids> PreferenceTokenizer::encode_messages(const PreferenceMessages& messages) const {
  RenderOptions options{.add_generation_prompt = true, .tools = messages.tools, .omit_null = true};
  std::vector<Ids> out{template_.get().encode(tokenizer_, Json(messages.prompt).dump(), options).ids};
  options.add_generation_prompt = false;
  for (const Json::Array& completion : messages.completions) {
    Json::Array both = messages.prompt;
    both.insert(both.end(), completion.begin(), completion.end());
    out.push_back(template_.get().encode(tokenizer_, Json(std::move(both)).dump(), options).ids);
  }
  return out;
}

// As Axolotl renders: an answer behind a question of no meaning, of which all before its content is cut off. (Axolotl
// cuts where the text first has such words: for an answer "user" in front of the question.)
PreferenceTexts PreferenceTokenizer::rendered_alone(const PreferenceMessages& messages) const {
  RenderOptions options{.add_generation_prompt = true, .tools = messages.tools, .omit_null = true};
  PreferenceTexts texts{template_.get().render(Json(messages.prompt).dump(), options), {}};
  options = {.omit_null = true};
  JsonObject question;
  question["role"] = "user";
  question["content"] = "[[dummy_message]]";
  for (const Json::Array& completion : messages.completions) {
    const Json::Array both{Json(question), completion.front()};
    const std::string text = template_.get().render(Json(both).dump(), options);
    const auto answer = find_turn(template_.get(), both, 1, text, options);
    if (!answer) {
      throw Error(ErrorKind::format, "the chat template does not show the answer", {.field = "content"});
    }
    texts.completions.push_back(without_blanks_behind(text.substr(answer->begin)));
  }
  return texts;
}

// Where they are not there already.
void PreferenceTokenizer::put_bos_and_eos(PreferenceIds& ids) const {
  const auto bos = tokenizer_.bos_token_id();
  const auto eos = tokenizer_.eos_token_id();
  if (bos && (ids.prompt.empty() || ids.prompt.front() != *bos)) ids.prompt.insert(ids.prompt.begin(), *bos);
  for (Ids& completion : ids.completions) {
    if (eos && (completion.empty() || completion.back() != *eos)) completion.push_back(*eos);
  }
}

PreferenceIds PreferenceTokenizer::encode(const PreferenceRow& row) const {
  std::vector<Ids> ids;
  if (row.texts) {
    ids = encode_texts(*row.texts, !bos_and_eos_);
  } else if (row.completions_alone) {
    ids = encode_texts(rendered_alone(*row.messages), false);
  } else {
    ids = encode_messages(*row.messages);
  }
  std::size_t begin = ids.front().size();
  for (std::size_t i = 1; i < ids.size(); ++i) begin = std::min(begin, common_prefix(ids.front(), ids[i]));
  PreferenceIds out;
  out.prompt_merged = begin < ids.front().size();
  out.prompt.assign(ids.front().begin(), ids.front().begin() + static_cast<std::ptrdiff_t>(begin));
  for (std::size_t i = 1; i < ids.size(); ++i) {
    out.completions.emplace_back(ids[i].begin() + static_cast<std::ptrdiff_t>(begin), ids[i].end());
  }
  if (bos_and_eos_) put_bos_and_eos(out);
  return out;
}

PreferenceSequence cut_sequence(const Ids& prompt, const Ids& completion, const PreferenceDatasetOptions& options) {
  PreferenceSequence out{prompt, static_cast<std::int64_t>(prompt.size())};
  out.input_ids.insert(out.input_ids.end(), completion.begin(), completion.end());
  const auto length = static_cast<std::int64_t>(out.input_ids.size());
  const bool dropped = options.truncation_mode == TruncationMode::drop;  // with the whole row
  if (options.max_length <= 0 || length <= options.max_length || dropped) return out;
  const std::int64_t excess = length - options.max_length;
  if (options.truncation_mode == TruncationMode::keep_start) {
    out.input_ids.resize(static_cast<std::size_t>(options.max_length));
    out.prompt_tokens = std::min(out.prompt_tokens, options.max_length);
  } else {
    out.input_ids.erase(out.input_ids.begin(), out.input_ids.begin() + excess);
    out.prompt_tokens = std::max<std::int64_t>(0, out.prompt_tokens - excess);
  }
  return out;
}

}  // namespace powerhouse::training
