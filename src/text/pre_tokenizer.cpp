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

void PreTokenizer::finish(bool takes_bytes) { gives_bytes_ = takes_bytes && last_spells_bytes_; }

void PreTokenizer::split(std::string_view text, PieceSink sink, std::size_t start) const {
  const std::size_t end = steps_.size() - (gives_bytes_ ? 1 : 0);
  std::size_t budget = AlignedText::budget_for(text.size());
  walk(0, end, AlignedText{.text = text, .start = start, .budget = &budget},
       [&](const AlignedText& piece) { sink(piece.text); });
}

}  // namespace powerhouse
