// The names of `tokenizer.ggml.pre` and their pre-tokenizers, as llama.cpp (0.3.36's) executes them: rows of data.
//
// llama.cpp runs most of these through a regular expression engine that knows no Unicode: it tells letters, numbers,
// punctuation, symbols, marks and white space apart and nothing finer, so that \p{Lu} matches every letter; and in
// patterns without \p{} it matches white space beyond ASCII by \s alone. The patterns here say what that comes to.
#include <array>
#include <limits>

#include "powerhouse/error.h"
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

constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();
constexpr Cut::Split kLlama3 = cl100k<3>;
constexpr Cut::Split kQwen2 = cl100k<1>;
constexpr Cut::Split kGpt4o = o200k<O200k::Letters::ascii_cased, true, 3>;

constexpr const char* kThreeNumbers = R"(\p{N}{1,3})";
constexpr const char* kThreeDigits = "[0-9][0-9][0-9]";
// [U+4E00-U+9FA5 U+0800-U+4E00 U+AC00-U+D7FF] without the white space in it.
constexpr const char* kEastAsian =
    R"([\x{0800}-\x{167F}\x{1681}-\x{1FFF}\x{200B}-\x{2027}\x{202A}-\x{202E}\x{2030}-\x{205E}\x{2060}-\x{2FFF})"
    R"(\x{3001}-\x{9FA5}\x{AC00}-\x{D7FF}]+)";
constexpr const char* kDeepSeek3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|)"
    R"( ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kSpark =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|)"
    R"( ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+)";
constexpr const char* kTrailingSpaces = R"((?<!\s)\s++\z)";  // \s+$ without its quadratic cost
constexpr const char* kPunctuation = R"([\p{P}\$\+<=>\^~\|]+)";
constexpr const char* kFalconPunctuation = R"([\p{P}\$\+<=>\^~\|`]+)";
constexpr const char* kDeepSeekLetters =
    R"(\s?[A-Za-z\x{00B5}\x{00C0}-\x{00D6}\x{00D8}-\x{00F6}\x{00F8}-\x{01BA}\x{01BC}-\x{01BF}\x{01C4}-\x{0293})"
    R"(\x{0295}-\x{02AF}\x{0370}-\x{0373}\x{0376}\x{0377}\x{037B}-\x{037D}\x{037F}\x{0386}\x{0388}-\x{038A})"
    R"(\x{038C}\x{038E}-\x{03A1}\x{03A3}-\x{03F5}\x{03F7}-\x{0481}\x{048A}-\x{052F}\x{0531}-\x{0556})"
    R"(\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B})"
    R"(\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D})"
    R"(\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE})"
    R"(\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4})"
    R"(\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128})"
    R"(\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184})"
    R"(\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B})"
    R"(\x{A722}-\x{A76F}\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17})"
    R"(\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB})"
    R"(\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}]+)";
constexpr const char* kDeepSeekSigns =
    R"(\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3001}-\x{3002}]+)";
constexpr const char* kBloom = R"( ?[^(\s|.,!?\x{2026}\x{3002}\x{FF0C}\x{3001}\x{0964}\x{06D4}\x{060C})]+)";
constexpr const char* kYoutuScripts =
    R"([\x{AC00}-\x{D7A3}\x{3131}-\x{318E}]+|[\x{FF01}\x{2026}\x{201C}\x{201D}\x{2018}\x{2019}\x{2014}\x{FF1A})"
    R"(\x{FF1B}\x{FF0C}\x{3001}-\x{303F}\x{FE30}-\x{FE4F}]+|[\x{3105}-\x{312F}]+|[\x{4E00}-\x{9FA5})"
    R"(\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)";
constexpr const char* kAsianScripts =
    R"([\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{8C48}-\x{FAFF}\x{3040}-\x{309F}\x{30A0}-\x{30FF}\x{FF65}-\x{FF9F})"
    R"(\x{2F00}-\x{2FDF}\x{0E40}-\x{0E7F}\x{0E80}-\x{0EFF}\x{1780}-\x{17FF}\x{1000}-\x{109F}\x{AA60}-\x{AA7F})"
    R"(\x{A9E0}-\x{A9FF}\x{AC00}-\x{D7AF}\x{1100}-\x{11FF}]+)";
constexpr const char* kIdeographsAndKana = R"([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)";
constexpr const char* kJais2 =
    R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|)"
    R"(\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1})";
constexpr const char* kBailing =
    R"('(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]|\s+(?!\S)|\s+)";
constexpr const char* kSeedCoder =
    R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}|)"
    R"( ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kUfakzeka =
    R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kExaoneMoe =
    R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|)"
    R"([^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*+(?: \p{L}\p{M}*+)*+)++|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|)"
    R"(\s+(?!\S)|\s+)";
constexpr const char* kImageTokens = "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z";
constexpr const char* kChameleonPunctuation = R"([\p{P}!-/:-@\[-`{-~])";

// Cuts one after the other, and what else the name says.
struct Family {
  std::array<Cut, 6> cuts;
  GgufPreTokenizer::Flags flags{};
};

constexpr GgufPreTokenizer::Flags kIgnoreMerges{.ignore_merges = true};
constexpr GgufPreTokenizer::Flags kLlama3Flags{.ignore_merges = true, .add_bos = true};

constexpr Family kDefaultFamily{{kPunctuation, split_gpt2, digits, kThreeDigits}};
constexpr Family kGpt2Family{{split_gpt2}};
constexpr Family kDigitsFamily{{digit, split_gpt2}};
constexpr Family kLlama3Family{{kLlama3}, kLlama3Flags};
constexpr Family kQwen2Family{{kQwen2}};
constexpr Family kDeepSeek3Family{{kThreeNumbers, kIdeographsAndKana, kDeepSeek3}};
constexpr Family kBloomFamily{{kBloom}};
constexpr Family kGpt4oFamily{{kGpt4o}};
constexpr Family kTinyAyaFamily{{split_number_groups, o200k<O200k::Letters::any_with_marks, true, 3>}};
constexpr Family kBailingFamily{{kBailing}};
constexpr Family kGemma4Family{{split_newlines},
                               {.add_bos = true, .characters = true, .escape_blanks = true, .whole_newlines = true}};

struct Row {
  std::string_view name;
  Family family;
};

constexpr Row kRows[] = {
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
    {"dbrx", {{kLlama3}}},
    {"smaug-bpe", {{kLlama3}}},
    {"chatglm-bpe", {{kLlama3}}},
    {"glm4", {{kLlama3}, kIgnoreMerges}},
    {"glm5", {{kLlama3}, kIgnoreMerges}},
    {"jais-2", {{kJais2}}},
    {"minicpm5", {{kThreeNumbers, cl100k<kUnlimited>}, kIgnoreMerges}},
    {"qwen2", kQwen2Family},
    {"deepseek-r1-qwen", kQwen2Family},
    {"kormo", kQwen2Family},
    {"f2llmv2", kQwen2Family},
    {"megrez", kQwen2Family},
    {"stablelm2", kQwen2Family},
    {"hunyuan", kQwen2Family},
    {"solar-open", kQwen2Family},
    {"grok-2", kQwen2Family},
    {"laguna", {{split_newlines, kQwen2}}},
    {"qwen35", {{cl100k<1, true>}}},
    {"ufakzeka", {{kUfakzeka}}},
    {"seed-coder", {{kSeedCoder}}},
    {"bailingmoe", kBailingFamily},
    {"bailingmoe2", kBailingFamily},
    {"llada-moe", kBailingFamily},
    {"exaone-moe", {{kExaoneMoe}}},
    {"deepseek-llm", {{"[\r\n]", kDeepSeekLetters, kDeepSeekSigns, kTrailingSpaces, kEastAsian, digits}}},
    {"deepseek-coder", {{"[\r\n]", R"(\s?\p{L}+)", R"(\s?\p{P}+)", kEastAsian, digit}}},
    {"deepseek-v3", kDeepSeek3Family},
    {"hunyuan-dense", kDeepSeek3Family},
    {"joyai-llm", kDeepSeek3Family},
    {"hy_v4", kDeepSeek3Family},
    {"spark2_5", {{kThreeNumbers, kIdeographsAndKana, kSpark, digit}}},
    {"afmoe", {{split_number_groups, kAsianScripts, kDeepSeek3}}},
    {"youtu", {{kYoutuScripts, o200k<O200k::Letters::any_with_marks, true, 1>}, kIgnoreMerges}},
    {"gpt-4o", kGpt4oFamily},
    {"llama4", kGpt4oFamily},
    {"kanana2", kGpt4oFamily},
    {"talkie", kGpt4oFamily},
    {"minimax-m2", kGpt4oFamily},
    {"granite-embed-multi-97m", {{o200k<O200k::Letters::ascii_cased_marks, true, 3>}, kIgnoreMerges}},
    {"tekken", {{o200k<O200k::Letters::ascii_cased, false, 1>}, kLlama3Flags}},
    {"tiny_aya", kTinyAyaFamily},
    {"cohere2moe", kTinyAyaFamily},
    {"kimi-k2", {{split_kimi_k2}}},
    {"bloom", kBloomFamily},
    {"gpt3-finnish", kBloomFamily},
    {"poro-chat", kBloomFamily},
    {"viking", {{kBloom, digit}}},
    {"falcon", {{kFalconPunctuation, split_gpt2, kThreeDigits}}},
    {"superbpe", {{digits, split_thousands}}},
    {"chameleon",
     {{"<sentinel:[0-9]+>", kImageTokens, R"(([\t\n]|    |  ))", digit, kChameleonPunctuation, split_gpt2},
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
    {kLlama3, {KnownPattern::Kind::cl100k, 3, true}},
    {kQwen2, {KnownPattern::Kind::cl100k, 1, true}},
    {cl100k<kUnlimited>, {KnownPattern::Kind::cl100k, kUnlimited, true}},
};

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
  for (const Row& row : kRows) names.append(names.empty() ? "" : ", ").append(row.name);
  return names;
}

}  // namespace

std::vector<std::string_view> gguf_pre_tokenizer_names() {
  std::vector<std::string_view> names;
  for (const Row& row : kRows) names.push_back(row.name);
  return names;
}

GgufPreTokenizer gguf_pre_tokenizer(std::string_view name) {
  for (const Row& row : kRows) {
    if (row.name != name) continue;
    GgufPreTokenizer out{.flags = row.family.flags};
    for (const Cut& cut : row.family.cuts) {
      if (cut.split != nullptr || !cut.pattern.empty()) out.pre_tokenizer.append(step_of(cut));
    }
    if (!out.flags.characters) out.pre_tokenizer.append_byte_level(false, false);
    out.pre_tokenizer.finish();
    return out;
  }
  throw Error(ErrorKind::unsupported, "a pre-tokenizer that is not built",
              {.field = "tokenizer.ggml.pre", .expected = "one of " + known_names(), .found = std::string(name)});
}

}  // namespace powerhouse
