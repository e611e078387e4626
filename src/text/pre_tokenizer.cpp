#include "text/pre_tokenizer.h"

#include "support/utf8.h"
#include "text/normalizer_steps.h"

namespace powerhouse {

void PreTokenizer::append_byte_level(bool add_prefix_space, bool use_regex) {
  if (add_prefix_space) append(std::make_unique<PrependStep>(" ", true));
  if (use_regex) append(std::make_unique<KnownPatternStep>(KnownPattern{KnownPattern::Kind::gpt2, 0}));
  append(std::make_unique<SpellBytesStep>());
  last_spells_bytes_ = true;
}

void PreTokenizer::append_metaspace(char32_t replacement, PrependScheme scheme, bool split) {
  append(std::make_unique<MetaspaceStep>(replacement, scheme));
  needs_start_ = needs_start_ || scheme == PrependScheme::first;
  if (split) append(std::make_unique<CharacterStep>(CharacterClass{replacement}, SplitBehavior::merged_with_next));
}

void PreTokenizer::finish(bool takes_bytes) {
  gives_bytes_ = takes_bytes && last_spells_bytes_;
  if (gives_bytes_) word_rule_ = find_word_rule();
}

// A known pattern alone, or after Digits.
std::optional<WordRule> PreTokenizer::find_word_rule() const {
  const std::size_t cuts = steps_.size() - 1;
  if (cuts < 1 || cuts > 2) return std::nullopt;
  const auto cut_at = [&](std::size_t i) -> const PreTokenizerStep* {
    const auto* step = std::get_if<std::unique_ptr<const PreTokenizerStep>>(&steps_[i]);
    return step == nullptr ? nullptr : step->get();
  };
  const auto* pattern = dynamic_cast<const KnownPatternStep*>(cut_at(cuts - 1));
  if (pattern == nullptr) return std::nullopt;
  if (cuts == 1) return WordRule{.pattern = pattern->pattern()};
  const auto* digits = dynamic_cast<const DigitsStep*>(cut_at(0));
  if (digits == nullptr) return std::nullopt;
  using Digits = WordRule::Digits;
  return WordRule{.pattern = pattern->pattern(), .digits = digits->individual() ? Digits::one_by_one : Digits::in_runs};
}

void PreTokenizer::split(std::string_view text, PieceSink sink, std::size_t start) const {
  const std::size_t end = steps_.size() - (gives_bytes_ ? 1 : 0);
  std::size_t budget = AlignedText::budget_for(text.size());
  walk(0, end, AlignedText{.text = text, .start = start, .budget = &budget},
       [&](const AlignedText& piece) { sink(piece.text); });
}

}  // namespace powerhouse
