// The normalizer and the pre-tokenizer of tokenizer.json: from their descriptions to steps that run.
#include "powerhouse/error.h"
#include "text/tokenizer_json.h"

namespace powerhouse {
namespace {

void add_normalizer(Normalizer& normalizer, const Json& description) {
  const std::string& type = description.at("type").as_string("normalizer.type");
  if (type == "NFC") return normalizer.append(NormalizationForm::nfc);
  if (type == "NFD") return normalizer.append(NormalizationForm::nfd);
  if (type == "NFKC") return normalizer.append(NormalizationForm::nfkc);
  if (type == "NFKD") return normalizer.append(NormalizationForm::nfkd);
  if (type == "Sequence") {
    for (const Json& part : description.at("normalizers").as_array("normalizer.normalizers")) {
      add_normalizer(normalizer, part);
    }
    return;
  }
  refuse_component("normalizer", type, "NFC, NFD, NFKC, NFKD, Sequence");
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
  if (const Json* literal = pattern.get("String")) {
    const std::string& text = literal->as_string("pre_tokenizer.pattern.String");
    if (text.empty()) throw Error(ErrorKind::format, "an empty text to split by", {.field = "pre_tokenizer.pattern"});
    return std::make_unique<PatternStep>(text, behavior, invert);
  }
  const std::string& regex = pattern.at("Regex").as_string("pre_tokenizer.pattern.Regex");
  // A known pattern leaves nothing between its matches, so these three are the same.
  const bool each_match = behavior == SplitBehavior::isolated || (behavior == SplitBehavior::removed && invert);
  if (const auto known = find_known_pattern(regex); known && each_match) {
    return std::make_unique<KnownPatternStep>(*known);
  }
  return std::make_unique<PatternStep>(std::make_unique<const Regex>(regex), behavior, invert);
}

void add_pre_tokenizer(PreTokenizer& chain, const Json& description) {
  const std::string& type = description.at("type").as_string("pre_tokenizer.type");
  if (type == "ByteLevel") {
    return chain.append_byte_level(description.bool_or("add_prefix_space", true),
                                   description.bool_or("use_regex", true));
  }
  if (type == "Digits") {
    return chain.append(std::make_unique<DigitsStep>(description.bool_or("individual_digits", false)));
  }
  if (type == "Split") return chain.append(read_split(description));
  if (type == "Sequence") {
    for (const Json& part : description.at("pretokenizers").as_array("pre_tokenizer.pretokenizers")) {
      add_pre_tokenizer(chain, part);
    }
    return;
  }
  refuse_component("pre_tokenizer", type, "ByteLevel, Digits, Split, Sequence");
}

}  // namespace

void refuse_component(std::string_view place, std::string_view type, std::string_view known) {
  throw Error(ErrorKind::unsupported, "a tokenizer component that is not built",
              {.field = std::string(place), .expected = "one of " + std::string(known), .found = std::string(type)});
}

Normalizer load_normalizer(const Json* description) {
  Normalizer normalizer;
  if (description != nullptr) add_normalizer(normalizer, *description);
  return normalizer;
}

PreTokenizer load_pre_tokenizer(const Json* description) {
  PreTokenizer chain;
  if (description != nullptr) add_pre_tokenizer(chain, *description);
  chain.finish();
  return chain;
}

}  // namespace powerhouse
