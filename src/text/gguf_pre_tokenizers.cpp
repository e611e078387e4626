// The names of `tokenizer.ggml.pre` and their pre-tokenizers, as llama.cpp (0.3.36's) executes them: rows of data.
//
// llama.cpp runs most of these through a regular expression engine that knows no Unicode: it tells letters, numbers,
// punctuation, symbols, marks and white space apart and nothing finer, so that \p{Lu} matches every letter; and in
// patterns without \p{} it matches white space beyond ASCII by \s alone. The patterns here say what that comes to.
#include <array>

#include "powerhouse/error.h"
#include "text/gguf_patterns.h"
#include "text/gguf_splitters.h"
#include "text/splitter_o200k.h"
#include "text/splitters.h"
#include "text/tokenizer_gguf.h"

namespace powerhouse {
namespace {

// One cut: by code, or by a pattern whose every match is a piece, as is what lies between.
struct Cut {
  using Split = void (*)(std::string_view, PieceSink);
  std::string_view pattern{};
  Split split = nullptr;

  constexpr Cut() = default;
  constexpr bool is_set() const { return split != nullptr || !pattern.empty(); }
  constexpr Cut(const char* text) : pattern(text) {}  // NOLINT(google-explicit-constructor): rows read better
  constexpr Cut(Split function) : split(function) {}  // NOLINT(google-explicit-constructor)
};

class FunctionStep final : public PreTokenizerStep {
 public:
  explicit FunctionStep(Cut::Split split) : split_(split) {}
  void split(std::string_view text, PieceSink sink) const override { split_(text, sink); }

 private:
  Cut::Split split_;
};

template <std::size_t max_numbers, bool marks = false>
void cl100k(std::string_view text, PieceSink sink) {
  split_cl100k(text, {.max_numbers = max_numbers, .ascii_contractions = true, .marks = marks}, sink);
}
template <O200k::Letters letters, bool contractions, std::size_t max_numbers>
void o200k(std::string_view text, PieceSink sink) {
  split_o200k(text, {letters, contractions, true, max_numbers}, sink);
}
void digit(std::string_view text, PieceSink sink) { split_digits(text, true, sink); }
void digits(std::string_view text, PieceSink sink) { split_digits(text, false, sink); }

constexpr Cut::Split kLlama3Cut = cl100k<3>;
constexpr Cut::Split kQwen2Cut = cl100k<1>;
constexpr Cut::Split kGpt4oCut = o200k<O200k::Letters::ascii_cased, true, 3>;
constexpr Cut::Split kTekkenCut = o200k<O200k::Letters::ascii_cased, false, 1>;
constexpr Cut::Split kYoutuCut = o200k<O200k::Letters::any_with_marks, true, 1>;
constexpr Cut::Split kGraniteCut = o200k<O200k::Letters::ascii_cased_marks, true, 3>;

// Cuts one after the other, and what else the name says.
struct Family {
  std::array<Cut, 6> cuts;
  GgufPreTokenizer::Flags flags{};
};

constexpr GgufPreTokenizer::Flags kIgnoreMerges{.ignore_merges = true};
constexpr GgufPreTokenizer::Flags kLlama3Flags{.ignore_merges = true, .add_bos = true};

constexpr Family kDefaultFamily{{patterns::kPunctuation, split_gpt2, digits, patterns::kThreeDigits}};
constexpr Family kGpt2Family{{split_gpt2}};
constexpr Family kDigitsFamily{{digit, split_gpt2}};
constexpr Family kLlama3Family{{kLlama3Cut}, kLlama3Flags};
constexpr Family kQwen2Family{{kQwen2Cut}};
constexpr Family kDeepSeek3Family{{patterns::kThreeNumbers, patterns::kIdeographsAndKana, patterns::kDeepSeek3}};
constexpr Family kBloomFamily{{patterns::kBloom}};
constexpr Family kGpt4oFamily{{kGpt4oCut}};
constexpr Family kTinyAyaFamily{{split_number_groups, o200k<O200k::Letters::any_with_marks, true, 3>}};
constexpr Family kBailingFamily{{patterns::kBailing}};
constexpr Family kGemma4Family{{split_newlines},
                               {.add_bos = true, .characters = true, .escape_blanks = true, .whole_newlines = true}};

struct NamedFamily {
  std::string_view name;
  Family family;
};

constexpr NamedFamily kNamedFamilies[] = {
    {"default", kDefaultFamily},
    {"gpt-2", kGpt2Family},
    {"phi-2", kGpt2Family},
    {"mpt", kGpt2Family},
    {"olmo", kGpt2Family},
    {"jais", kGpt2Family},
    {"gigachat", kGpt2Family},
    {"jina-es", kGpt2Family},
    {"jina-de", kGpt2Family},
    {"jina-v1-en", kGpt2Family},
    {"jina-v2-code", kGpt2Family},
    {"jina-v2-es", kGpt2Family},
    {"jina-v2-de", kGpt2Family},
    {"roberta-bpe", kGpt2Family},
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
    {"dbrx", {{kLlama3Cut}}},
    {"smaug-bpe", {{kLlama3Cut}}},
    {"chatglm-bpe", {{kLlama3Cut}}},
    {"glm4", {{kLlama3Cut}, kIgnoreMerges}},
    {"glm5", {{kLlama3Cut}, kIgnoreMerges}},
    {"jais-2", {{patterns::kJais2}}},
    {"minicpm5", {{patterns::kThreeNumbers, cl100k<Cl100k::kUnlimited>}, kIgnoreMerges}},
    {"qwen2", kQwen2Family},
    {"deepseek-r1-qwen", kQwen2Family},
    {"kormo", kQwen2Family},
    {"f2llmv2", kQwen2Family},
    {"megrez", kQwen2Family},
    {"stablelm2", kQwen2Family},
    {"hunyuan", kQwen2Family},
    {"solar-open", kQwen2Family},
    {"grok-2", kQwen2Family},
    {"laguna", {{split_newlines, kQwen2Cut}}},
    {"qwen35", {{cl100k<1, true>}}},
    {"ufakzeka", {{patterns::kUfakzeka}}},
    {"seed-coder", {{patterns::kSeedCoder}}},
    {"bailingmoe", kBailingFamily},
    {"bailingmoe2", kBailingFamily},
    {"llada-moe", kBailingFamily},
    {"exaone-moe", {{patterns::kExaoneMoe}}},
    {"deepseek-llm",
     {{"[\r\n]", patterns::kDeepSeekLetters, patterns::kDeepSeekSigns, patterns::kTrailingSpaces, patterns::kEastAsian,
       digits}}},
    {"deepseek-coder", {{"[\r\n]", R"(\s?\p{L}+)", R"(\s?\p{P}+)", patterns::kEastAsian, digit}}},
    {"deepseek-v3", kDeepSeek3Family},
    {"hunyuan-dense", kDeepSeek3Family},
    {"joyai-llm", kDeepSeek3Family},
    {"hy_v4", kDeepSeek3Family},
    {"spark2_5", {{patterns::kThreeNumbers, patterns::kIdeographsAndKana, patterns::kSpark, digit}}},
    {"afmoe", {{split_number_groups, patterns::kAsianScripts, patterns::kDeepSeek3}}},
    {"youtu", {{patterns::kYoutuScripts, kYoutuCut}, kIgnoreMerges}},
    {"gpt-4o", kGpt4oFamily},
    {"llama4", kGpt4oFamily},
    {"kanana2", kGpt4oFamily},
    {"talkie", kGpt4oFamily},
    {"minimax-m2", kGpt4oFamily},
    {"granite-embed-multi-97m", {{kGraniteCut}, kIgnoreMerges}},
    {"tekken", {{kTekkenCut}, kLlama3Flags}},
    {"tiny_aya", kTinyAyaFamily},
    {"cohere2moe", kTinyAyaFamily},
    {"kimi-k2", {{split_kimi_k2}}},
    {"bloom", kBloomFamily},
    {"gpt3-finnish", kBloomFamily},
    {"poro-chat", kBloomFamily},
    {"viking", {{patterns::kBloom, digit}}},
    {"falcon", {{patterns::kFalconPunctuation, split_gpt2, patterns::kThreeDigits}}},
    {"superbpe", {{digits, split_thousands}}},
    {"chameleon",
     {{"<sentinel:[0-9]+>", patterns::kImageTokens, R"(([\t\n]|    |  ))", digit, patterns::kChameleonPunctuation,
       split_gpt2},
      {.add_bos = true}}},
    {"gemma4", kGemma4Family},
    {"granite-embed-multi-311m", kGemma4Family},
    {"sarvam-moe", {{split_newlines}, {.characters = true, .escape_blanks = true}}},

};

// The cuts that WordScanner knows, by what they do.
struct KnownCut {
  Cut::Split split;
  KnownPattern pattern;
};
constexpr KnownCut kKnownCuts[] = {
    {split_gpt2, {}},
    {kLlama3Cut, {KnownPattern::Kind::cl100k, 3, true}},
    {kQwen2Cut, {KnownPattern::Kind::cl100k, 1, true}},
    {cl100k<Cl100k::kUnlimited>, {KnownPattern::Kind::cl100k, Cl100k::kUnlimited, true}},
};

// Cuts made by code, as a pattern.
struct SpelledCut {
  Cut::Split split;
  const char* pattern;
};
constexpr SpelledCut kSpelledCuts[] = {
    {split_gpt2, patterns::kGpt2},
    {kLlama3Cut, patterns::kLlama3},
    {kQwen2Cut, patterns::kQwen2},
    {cl100k<Cl100k::kUnlimited>, patterns::kLongNumbers},
    {cl100k<1, true>, patterns::kQwen35},
    {kGpt4oCut, patterns::kO200kAscii},
    {kGraniteCut, patterns::kO200kAsciiMarks},
    {kYoutuCut, patterns::kO200kAnyOneNumber},
    {kTekkenCut, patterns::kTekken},
    {split_newlines, patterns::kNewlines},
};

Json part_of(const Cut& cut) {
  JsonObject part;
  if (cut.split == digit || cut.split == digits) {
    part["type"] = "Digits";
    part["individual_digits"] = cut.split == digit;
    return part;
  }
  std::string_view pattern = cut.pattern;
  for (const SpelledCut& spelled : kSpelledCuts) {
    if (cut.split != nullptr && spelled.split == cut.split) pattern = spelled.pattern;
  }
  if (pattern.empty()) throw Error(ErrorKind::unsupported, "a cut that llama.cpp makes in code, and no pattern can");
  JsonObject regex;
  regex["Regex"] = pattern;
  part["type"] = "Split";
  part["pattern"] = std::move(regex);
  part["behavior"] = "Isolated";
  part["invert"] = false;
  return part;
}

std::unique_ptr<const PreTokenizerStep> step_of(const Cut& cut) {
  if (cut.split == nullptr) {
    return std::make_unique<PatternStep>(std::make_unique<const Regex>(cut.pattern), SplitBehavior::isolated, false);
  }
  for (const KnownCut& known : kKnownCuts) {
    if (known.split == cut.split) return std::make_unique<KnownPatternStep>(known.pattern);
  }
  if (cut.split == digit || cut.split == digits) return std::make_unique<DigitsStep>(cut.split == digit);
  return std::make_unique<FunctionStep>(cut.split);
}

std::string known_names() {
  std::string names;
  for (const NamedFamily& row : kNamedFamilies) names.append(names.empty() ? "" : ", ").append(row.name);
  return names;
}

const Family& find_family(std::string_view name) {
  for (const NamedFamily& row : kNamedFamilies) {
    if (row.name == name) return row.family;
  }
  throw Error(ErrorKind::unsupported, "a pre-tokenizer that is not built",
              {.field = "tokenizer.ggml.pre", .expected = "one of " + known_names(), .found = std::string(name)});
}

}  // namespace

std::vector<std::string_view> gguf_pre_tokenizer_names() {
  std::vector<std::string_view> names;
  for (const NamedFamily& row : kNamedFamilies) names.push_back(row.name);
  return names;
}

GgufPreTokenizer gguf_pre_tokenizer(std::string_view name) {
  const Family& family = find_family(name);
  GgufPreTokenizer out{.flags = family.flags};
  for (const Cut& cut : family.cuts) {
    if (cut.is_set()) out.pre_tokenizer.append(step_of(cut));
  }
  if (!out.flags.characters) out.pre_tokenizer.append_byte_level(false, false);
  out.pre_tokenizer.finish();
  return out;
}

std::vector<Json> gguf_pre_tokenizer_parts(std::string_view name) {
  std::vector<Json> parts;
  for (const Cut& cut : find_family(name).cuts) {
    if (cut.is_set()) parts.push_back(part_of(cut));
  }
  return parts;
}

}  // namespace powerhouse
