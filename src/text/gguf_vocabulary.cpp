#include "text/gguf_vocabulary.h"

#include <algorithm>

#include "powerhouse/error.h"

namespace powerhouse {
namespace {

constexpr const char* kTokens = "tokenizer.ggml.tokens";
constexpr const char* kTypes = "tokenizer.ggml.token_type";

// The types of the specification, 1 to 6, as attributes; others are none.
std::uint8_t attribute_of(std::int64_t type) {
  switch (type) {
    case 1: return GgufVocabulary::kNormal;
    case 2: return GgufVocabulary::kUnknown;
    case 3: return GgufVocabulary::kControl;
    case 4: return GgufVocabulary::kUserDefined;
    case 5: return GgufVocabulary::kUnused;
    case 6: return GgufVocabulary::kByte;
    default: return 0;
  }
}

constexpr std::string_view kEnds[] = {"<|eot_id|>",
                                      "<|im_end|>",
                                      "<|end|>",
                                      "<|return|>",
                                      "<|call|>",
                                      "<|flush|>",
                                      "<|calls|>",
                                      "<end_of_turn>",
                                      "<|endoftext|>",
                                      "</s>",
                                      "<|eom_id|>",
                                      "<EOT>",
                                      "_<EOT>",
                                      "[EOT]",
                                      "[EOS]",
                                      "<|end_of_text|>",
                                      "<end_of_utterance>",
                                      "<eos>",
                                      "<turn|>",
                                      "<|tool_response>",
                                      "<｜end▁of▁sentence｜>",
                                      "[e~["};

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

}  // namespace

GgufVocabulary::GgufVocabulary(const GgufFile& file, Vocabulary& vocabulary) : vocabulary_(vocabulary) {
  const auto* tokens = file.strings(kTokens);
  if (tokens == nullptr) throw Error(ErrorKind::format, "missing key", {.field = kTokens});
  std::size_t bytes = 0;
  for (const std::string_view token : *tokens) bytes += token.size();
  vocabulary.reserve(tokens->size(), bytes);
  for (std::size_t id = 0; id < tokens->size(); ++id) {
    const auto number = static_cast<std::int64_t>(id);
    // llama.cpp reads C strings, which end at a NUL, and calls an empty token so.
    const std::string_view text = (*tokens)[id].substr(0, (*tokens)[id].find('\0'));
    if (text.empty()) {
      vocabulary.add("[EMPTY_" + std::to_string(id) + "]", number);
    } else {
      vocabulary.add(text, number);
    }
  }
  attributes_.assign(tokens->size(), kNormal);
  if (const auto types = file.integers(kTypes)) {
    if (types->size() < tokens->size()) {
      throw Error(
          ErrorKind::format, "fewer token types than tokens",
          {.field = kTypes, .expected = std::to_string(tokens->size()), .found = std::to_string(types->size())});
    }
    for (std::size_t id = 0; id < tokens->size(); ++id) attributes_[id] = attribute_of((*types)[id]);
  }
}

std::optional<std::size_t> GgufVocabulary::find(std::string_view text) const {
  if (const auto id = vocabulary_.find(text)) return static_cast<std::size_t>(*id);
  return std::nullopt;
}

// The first of the texts that is a token is a control token, whatever its type; its id, or size() where none is.
std::size_t GgufVocabulary::mark_first(std::initializer_list<std::string_view> texts) {
  std::size_t least = size();
  for (const std::string_view text : texts) least = std::min(least, find(text).value_or(size()));
  if (least < size()) attributes_[least] |= kControl;
  return least;
}

std::vector<std::int64_t> GgufVocabulary::end_of_generation(const GgufFile& file,
                                                            const std::vector<std::optional<std::int64_t>>& named) {
  std::vector<std::int64_t> ends;
  const auto add = [&](std::optional<std::int64_t> id) {
    if (id && std::find(ends.begin(), ends.end(), *id) == ends.end()) ends.push_back(*id);
  };
  for (const auto& id : named) add(id);
  // Tokens for the middle of a text: those of a pad, a repository and a file end one.
  const auto fill = [&](const char* key, std::initializer_list<std::string_view> texts, bool is_end) {
    std::optional<std::int64_t> id = file.integer(key);
    if (!id || *id < 0 || static_cast<std::size_t>(*id) >= size()) {
      const std::size_t found = mark_first(texts);
      id = found < size() ? std::optional(static_cast<std::int64_t>(found)) : std::nullopt;
    }
    if (is_end) add(id);
  };
  fill("tokenizer.ggml.fim_pre_token_id",
       {"<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>", "<|code_prefix|>",
        "<|prefix|>"},
       false);
  fill("tokenizer.ggml.fim_suf_token_id",
       {"<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>", "<|code_suffix|>",
        "<|suffix|>"},
       false);
  fill("tokenizer.ggml.fim_mid_token_id",
       {"<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>", "<|code_middle|>",
        "<|middle|>"},
       false);
  fill("tokenizer.ggml.fim_pad_token_id", {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"}, true);
  fill("tokenizer.ggml.fim_rep_token_id", {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"},
       true);
  fill("tokenizer.ggml.fim_sep_token_id", {"<|file_sep|>"}, true);
  for (const std::string_view text : kEnds) {
    const auto id = find(text);
    if (!id) continue;
    attributes_[*id] |= kControl;
    add(static_cast<std::int64_t>(*id));
  }
  // Tokens of gpt-oss that are always shown.
  for (const std::string_view text : {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"}) {
    if (const auto id = find(text)) attributes_[*id] = kUserDefined;
  }
  drop_false_ends(ends);
  return ends;
}

// Where other tokens end a generation, "<|end|>" ends a part of it (gpt-oss, Solar), and "</s>" is text (Gemma 4).
void GgufVocabulary::drop_false_ends(std::vector<std::int64_t>& ends) {
  const auto has = [&](std::string_view text) {
    const auto id = find(text);
    return id && std::find(ends.begin(), ends.end(), static_cast<std::int64_t>(*id)) != ends.end();
  };
  const auto drop = [&](std::string_view text, std::uint8_t attribute) {
    const std::size_t id = *find(text);
    std::erase(ends, static_cast<std::int64_t>(id));
    attributes_[id] = attribute;
  };
  const bool calls = has("<|call|>") || has("<|calls|>");
  if (has("<|end|>") && calls && (has("<|return|>") || has("<|flush|>"))) drop("<|end|>", kUserDefined);
  if (has("</s>") && (has("<|tool_response>") || has("<|plamo:eos|>"))) drop("</s>", kNormal);
}

GgufVocabulary::Strips GgufVocabulary::strips(const GgufFile& file) const {
  Strips out;
  const std::string_view pre = file.string("tokenizer.ggml.pre").value_or("");
  const std::string_view architecture = file.string("general.architecture").value_or("");
  std::string name(file.string("general.name").value_or(""));
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  const auto strip_left = [&](std::string_view text) {
    if (const auto id = find(text)) out.left.push_back(static_cast<std::int64_t>(*id));
  };
  if (contains(pre, "jina-v2-de") || contains(pre, "jina-v2-es") || contains(pre, "jina-v2-code") ||
      contains(architecture, "nomic-bert-moe") || contains(architecture, "jina-bert-v3")) {
    strip_left("<mask>");
  } else if (contains(name, "phi-3") || contains(name, "phi3")) {
    for (std::size_t id = 0; id < size(); ++id) {
      const std::string_view text = vocabulary_.text(static_cast<std::int64_t>(id));
      if (text == "<unk>" || text == "<s>" || text == "<|endoftext|>") continue;
      if (is(id, kControl | kUserDefined | kUnknown)) out.right.push_back(static_cast<std::int64_t>(id));
    }
  } else if (contains(name, "modern-bert")) {
    strip_left("[MASK]");
  }
  return out;
}

}  // namespace powerhouse
