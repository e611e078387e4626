// The normalizer and the pre-tokenizer of tokenizer.json: from their descriptions to steps that run.
#include <algorithm>

#include "powerhouse/error.h"
#include "support/utf8.h"
#include "text/charsmap.h"
#include "text/normalizer_steps.h"
#include "text/tokenizer_json.h"

namespace powerhouse {
namespace {

// Real files have a dozen; every text passes through all of them.
constexpr int kMaxSteps = 256;

class Count {
 public:
  explicit Count(std::string_view place) : place_(place) {}
  void one_more() {
    if (++count_ > kMaxSteps) {
      throw Error(ErrorKind::format, "a tokenizer has too many steps",
                  {.field = std::string(place_), .expected = "at most " + std::to_string(kMaxSteps)});
    }
  }

 private:
  std::string_view place_;
  int count_ = 0;
};

void add_bert_normalizer(Normalizer& normalizer, const Json& description) {
  const bool lowercase = description.bool_or("lowercase", true);
  if (description.bool_or("clean_text", true)) normalizer.append(std::make_unique<CleanStep>());
  if (description.bool_or("handle_chinese_chars", true)) normalizer.append(std::make_unique<SpaceIdeographsStep>());
  if (description.bool_or("strip_accents", lowercase)) {
    normalizer.append(NormalizationForm::nfd);
    normalizer.append(std::make_unique<DropStep>(Dropped::bert_marks));
  }
  if (lowercase) normalizer.append(std::make_unique<LowercaseStep>());
}

void add_normalizer(Normalizer& normalizer, const Json& description, Count& count) {
  count.one_more();
  const std::string& type = description.at("type").as_string("normalizer.type");
  if (type == "Sequence") {
    for (const Json& part : description.at("normalizers").as_array("normalizer.normalizers")) {
      add_normalizer(normalizer, part, count);
    }
    return;
  }
  if (type == "NFC") return normalizer.append(NormalizationForm::nfc);
  if (type == "NFD") return normalizer.append(NormalizationForm::nfd);
  if (type == "NFKC") return normalizer.append(NormalizationForm::nfkc);
  if (type == "NFKD") return normalizer.append(NormalizationForm::nfkd);
  if (type == "BertNormalizer") return add_bert_normalizer(normalizer, description);
  if (type == "Lowercase") return normalizer.append(std::make_unique<LowercaseStep>());
  if (type == "StripAccents") return normalizer.append(std::make_unique<DropStep>(Dropped::marks));
  if (type == "Nmt") return normalizer.append(std::make_unique<NmtStep>());
  if (type == "ByteLevel") return normalizer.append(std::make_unique<SpellBytesStep>());
  if (type == "Strip") {
    return normalizer.append(
        std::make_unique<TrimStep>(description.bool_or("strip_left", true), description.bool_or("strip_right", true)));
  }
  if (type == "Prepend") {
    return normalizer.append(std::make_unique<PrependStep>(description.at("prepend").as_string("normalizer.prepend")));
  }
  if (type == "Replace") {
    return normalizer.append(
        std::make_unique<ReplaceStep>(load_pattern(description.at("pattern"), "normalizer.pattern"),
                                      description.at("content").as_string("normalizer.content")));
  }
  if (type == "Precompiled") {
    constexpr std::string_view kField = "normalizer.precompiled_charsmap";
    const std::string blob = decode_base64(description.at("precompiled_charsmap").as_string(kField), kField);
    return normalizer.append(std::make_unique<PrecompiledStep>(Charsmap(blob)));
  }
  refuse_component("normalizer", type,
                   "BertNormalizer, ByteLevel, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Precompiled, Prepend, Replace, "
                   "Sequence, Strip, StripAccents");
}

SplitBehavior read_behavior(const Json& description) {
  const std::string& name = description.at("behavior").as_string("pre_tokenizer.behavior");
  if (name == "Removed") return SplitBehavior::removed;
  if (name == "Isolated") return SplitBehavior::isolated;
  if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
  if (name == "Contiguous") return SplitBehavior::contiguous;
  throw Error(ErrorKind::format, "unknown split behavior",
              {.field = "pre_tokenizer.behavior",
               .expected = "Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous",
               .found = name});
}

std::unique_ptr<const PreTokenizerStep> read_split(const Json& description) {
  const Json& pattern = description.at("pattern");
  const SplitBehavior behavior = read_behavior(description);
  const bool invert = description.bool_or("invert", false);
  if (const Json* regex = pattern.get("Regex")) {
    // A known pattern leaves nothing between its matches, so these three are the same.
    const bool each_match = behavior == SplitBehavior::isolated || (behavior == SplitBehavior::removed && invert);
    const auto known = find_known_pattern(regex->as_string("pre_tokenizer.pattern.Regex"));
    if (known && each_match) return std::make_unique<KnownPatternStep>(*known);
  }
  return std::make_unique<PatternStep>(load_pattern(pattern, "pre_tokenizer.pattern"), behavior, invert);
}

void add_metaspace(PreTokenizer& chain, const Json& description) {
  const Json* old = description.get("add_prefix_space");  // before prepend_scheme was there
  const bool never = old != nullptr && !old->as_bool("pre_tokenizer.add_prefix_space");
  const std::string scheme = description.string_or("prepend_scheme", never ? "never" : "always");
  if (never && scheme != "never") {
    throw Error(ErrorKind::format, "add_prefix_space and prepend_scheme contradict each other",
                {.field = "pre_tokenizer.prepend_scheme", .expected = "never", .found = scheme});
  }
  chain.append_metaspace(read_character(description, "replacement", "pre_tokenizer.replacement"),
                         read_prepend_scheme(scheme, "pre_tokenizer.prepend_scheme"),
                         description.bool_or("split", true));
}

void add_pre_tokenizer(PreTokenizer& chain, const Json& description, Count& count) {
  count.one_more();
  using Kind = CharacterClass::Kind;
  const auto cut_at = [&](CharacterClass characters, SplitBehavior behavior) {
    chain.append(std::make_unique<CharacterStep>(characters, behavior));
  };
  const std::string& type = description.at("type").as_string("pre_tokenizer.type");
  if (type == "Sequence") {
    for (const Json& part : description.at("pretokenizers").as_array("pre_tokenizer.pretokenizers")) {
      add_pre_tokenizer(chain, part, count);
    }
    return;
  }
  if (type == "ByteLevel") {
    return chain.append_byte_level(description.bool_or("add_prefix_space", true),
                                   description.bool_or("use_regex", true));
  }
  if (type == "Digits") {
    return chain.append(std::make_unique<DigitsStep>(description.bool_or("individual_digits", false)));
  }
  if (type == "Split") return chain.append(read_split(description));
  if (type == "Metaspace") return add_metaspace(chain, description);
  if (type == "Whitespace") return chain.append(std::make_unique<WordsStep>());
  if (type == "WhitespaceSplit") return cut_at(CharacterClass(Kind::space), SplitBehavior::removed);
  if (type == "UnicodeScripts") return chain.append(std::make_unique<ScriptsStep>());
  if (type == "BertPreTokenizer") {
    cut_at(CharacterClass(Kind::space), SplitBehavior::removed);
    return cut_at(CharacterClass(Kind::punctuation), SplitBehavior::isolated);
  }
  if (type == "Punctuation") {
    const bool named = description.get("behavior") != nullptr;
    return cut_at(CharacterClass(Kind::punctuation), named ? read_behavior(description) : SplitBehavior::isolated);
  }
  if (type == "CharDelimiterSplit") {
    return cut_at(CharacterClass(read_character(description, "delimiter", "pre_tokenizer.delimiter")),
                  SplitBehavior::removed);
  }
  if (type == "FixedLength") {
    const std::int64_t length = description.integer_or("length", 5);
    if (length < 1) {
      throw Error(ErrorKind::format, "a piece needs at least one character",
                  {.field = "pre_tokenizer.length", .found = std::to_string(length)});
    }
    return chain.append(std::make_unique<FixedLengthStep>(static_cast<std::size_t>(length)));
  }
  refuse_component("pre_tokenizer", type,
                   "BertPreTokenizer, ByteLevel, CharDelimiterSplit, Digits, FixedLength, Metaspace, Punctuation, "
                   "Sequence, Split, UnicodeScripts, Whitespace, WhitespaceSplit");
}

}  // namespace

void refuse_component(std::string_view place, std::string_view type, std::string_view known) {
  throw Error(ErrorKind::unsupported, "a tokenizer component that is not built",
              {.field = std::string(place), .expected = "one of " + std::string(known), .found = std::string(type)});
}

char32_t read_character(const Json& description, std::string_view key, std::string_view place) {
  const std::string& text = description.at(key).as_string(place);
  const Utf8Step first = text.empty() ? Utf8Step{} : decode_utf8(text);
  if (!first.valid || first.length != text.size()) {
    throw Error(ErrorKind::format, "not one character",
                {.field = std::string(place), .expected = "a text of one character", .found = text.substr(0, 60)});
  }
  return first.code_point;
}

PrependScheme read_prepend_scheme(std::string_view name, std::string_view place) {
  if (name == "always") return PrependScheme::always;
  if (name == "first") return PrependScheme::first;
  if (name == "never") return PrependScheme::never;
  throw Error(ErrorKind::format, "unknown prepend scheme",
              {.field = std::string(place), .expected = "always, first or never", .found = std::string(name)});
}

Pattern load_pattern(const Json& description, std::string_view place) {
  if (const Json* literal = description.get("String")) return Pattern::of_literal(literal->as_string(place));
  return Pattern::of_regex(description.at("Regex").as_string(place));
}

Normalizer load_normalizer(const Json* description) {
  Normalizer normalizer;
  Count count("normalizer");
  if (description != nullptr) add_normalizer(normalizer, *description, count);
  return normalizer;
}

PreTokenizer load_pre_tokenizer(const Json* description, bool takes_bytes) {
  PreTokenizer chain;
  Count count("pre_tokenizer");
  if (description != nullptr) add_pre_tokenizer(chain, *description, count);
  chain.finish(takes_bytes);
  return chain;
}

}  // namespace powerhouse
