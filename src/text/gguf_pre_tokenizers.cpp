// The names of `tokenizer.ggml.pre` and their pre-tokenizers, as llama.cpp (0.3.36's) defines them: rows of data. Names
// whose patterns have hand-written splitters use these; the others run through PCRE2.
#include <array>

#include "powerhouse/error.h"
#include "text/tokenizer_gguf.h"

namespace powerhouse {
namespace {

constexpr std::string_view kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kO200k =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kTekken = R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|)"
                                     R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|)"
                                     R"(\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kDigit = R"(\p{N})";
constexpr std::string_view kDigits = R"(\p{N}+)";
constexpr std::string_view kThreeDigits = "[0-9][0-9][0-9]";

// Steps that cut one after the other; each match is a piece, and so is what lies between.
struct Family {
  std::array<std::string_view, 4> patterns;
  bool ignore_merges = false;
  bool add_bos = false;
  bool nfc = false;  // llama.cpp leaves out Qwen2's normalizer; its ids are those of its tokenizer.json here
};

constexpr Family kGpt2Family{{kGpt2}};
constexpr Family kDigitsFamily{{kDigit, kGpt2}};
constexpr Family kLlama3Family{{kLlama3}, true, true};
constexpr Family kQwen2Family{{kQwen2}};
constexpr Family kFalconFamily{{R"([\p{P}\$\+<=>\^~\|`]+)", kGpt2, kThreeDigits}};
constexpr Family kDefaultFamily{{R"([\p{P}\$\+<=>\^~\|]+)", kGpt2, kDigits, kThreeDigits}};

struct Row {
  std::string_view name;
  Family family;
};

constexpr Row kRows[] = {
    {"gpt-2", kGpt2Family},
    {"phi-2", kGpt2Family},
    {"mpt", kGpt2Family},
    {"olmo", kGpt2Family},
    {"jais", kGpt2Family},
    {"gigachat", kGpt2Family},
    {"jina-es", kGpt2Family},
    {"jina-de", kGpt2Family},
    {"jina-v2-es", kGpt2Family},
    {"jina-v2-de", kGpt2Family},
    {"a.x-4.0", kGpt2Family},
    {"mellum", kGpt2Family},
    {"modern-bert", kGpt2Family},
    {"exaone4", kGpt2Family},
    {"trillion", kGpt2Family},
    {"granite-docling", kGpt2Family},
    {"smollm", kDigitsFamily},
    {"starcoder", kDigitsFamily},
    {"refact", kDigitsFamily},
    {"command-r", kDigitsFamily},
    {"codeshell", kDigitsFamily},
    {"exaone", kDigitsFamily},
    {"minerva-7b", kDigitsFamily},
    {"mellum2", kDigitsFamily},
    {"llama-bpe", kLlama3Family},
    {"llama3", kLlama3Family},
    {"llama-v3", kLlama3Family},
    {"falcon3", kLlama3Family},
    {"falcon-h1", kLlama3Family},
    {"pixtral", kLlama3Family},
    {"midm-2.0", kLlama3Family},
    {"lfm2", kLlama3Family},
    {"jina-v5-nano", kLlama3Family},
    {"dbrx", {{kLlama3}}},
    {"smaug-bpe", {{kLlama3}}},
    {"chatglm-bpe", {{kLlama3}}},
    {"glm4", {{kLlama3}, true}},
    {"glm5", {{kLlama3}, true}},
    {"qwen2", {{kQwen2}, false, false, true}},
    {"deepseek-r1-qwen", kQwen2Family},
    {"kormo", kQwen2Family},
    {"f2llmv2", kQwen2Family},
    {"megrez", kQwen2Family},
    {"stablelm2", kQwen2Family},
    {"hunyuan", kQwen2Family},
    {"solar-open", kQwen2Family},
    {"grok-2", kQwen2Family},
    {"gpt-4o", {{kO200k}}},
    {"llama4", {{kO200k}}},
    {"kanana2", {{kO200k}}},
    {"tekken", {{kTekken}, true, true}},
    {"falcon", kFalconFamily},
    {"default", kDefaultFamily},
};

std::string known_names() {
  std::string names;
  for (const Row& row : kRows) names.append(names.empty() ? "" : ", ").append(row.name);
  return names;
}

}  // namespace

GgufPreTokenizer gguf_pre_tokenizer(std::string_view name) {
  for (const Row& row : kRows) {
    if (row.name != name) continue;
    GgufPreTokenizer out{.ignore_merges = row.family.ignore_merges, .add_bos = row.family.add_bos};
    if (row.family.nfc) out.normalizer.append(NormalizationForm::nfc);
    for (const std::string_view pattern : row.family.patterns) {
      if (pattern.empty()) break;
      if (pattern == kDigit || pattern == kDigits) {
        out.pre_tokenizer.append(std::make_unique<DigitsStep>(pattern == kDigit));
      } else if (const auto known = find_known_pattern(pattern)) {
        out.pre_tokenizer.append(std::make_unique<KnownPatternStep>(*known));
      } else {
        out.pre_tokenizer.append(
            std::make_unique<PatternStep>(std::make_unique<const Regex>(pattern), SplitBehavior::isolated, false));
      }
    }
    out.pre_tokenizer.append_byte_level(false, false);
    out.pre_tokenizer.finish();
    return out;
  }
  throw Error(ErrorKind::unsupported, "a pre-tokenizer that is not built",
              {.field = "tokenizer.ggml.pre", .expected = "one of " + known_names(), .found = std::string(name)});
}

}  // namespace powerhouse
