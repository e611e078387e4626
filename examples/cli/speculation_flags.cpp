#include "speculation_flags.h"

#include <memory>
#include <optional>

#include "common.h"

namespace cli {

void SpeculationFlags::add(CLI::App& command) {
  CLI::Option* const lookup =
      command
          .add_option("--prompt-lookup", lookup_ngram,
                      "draft what followed the last tokens, at most so many, where they stood before; often 2 or 3")
          ->transform(integer(1, 64));
  command
      .add_option("--lookup-branches", branches, "as many different drafts of --prompt-lookup, verified side by side")
      ->capture_default_str()
      ->transform(integer(1, 16))
      ->needs(lookup);
  CLI::Option* const model =
      command.add_option("--draft-model", draft_model, "draft by a smaller model of the same vocabulary")
          ->check(not_empty())
          ->excludes(lookup);
  command.add_option("--draft-layers", draft_layers, "draft by so many of the model's own first layers")
      ->transform(integer(1))
      ->excludes(lookup)
      ->excludes(model);
  command.add_option("--draft-max", options.max_draft_tokens, "tokens of a draft at most")
      ->capture_default_str()
      ->transform(integer(1, 256))
      ->each([this](const std::string&) { max_given = true; });
  command.add_flag("--draft-always", always, "draft --draft-max tokens also where it is slower than not to");
}

void SpeculationFlags::check() const {
  if (named()) return;
  constexpr const char* kDrafters = "--prompt-lookup, --draft-model or --draft-layers with it";
  if (max_given) refuse_flag("nothing drafts", "--draft-max", kDrafters);
  if (always) refuse_flag("nothing drafts", "--draft-always", kDrafters);
}

powerhouse::SpeculativeResult SpeculationFlags::run(powerhouse::Session& session, powerhouse::SequenceId sequence,
                                                    const powerhouse::Tokenizer& tokenizer,
                                                    const std::vector<std::int64_t>& ids,
                                                    const powerhouse::GenerationOptions& generation) const {
  powerhouse::SpeculativeOptions speculative = options;
  speculative.adaptive = !always;
  std::optional<powerhouse::CausalLM> small;
  std::unique_ptr<powerhouse::Drafter> drafter;
  if (!draft_model.empty()) {
    small = powerhouse::CausalLM::from_pretrained(draft_model);
    drafter = powerhouse::draft_model(*small, powerhouse::Tokenizer::from_pretrained(draft_model));
  } else {
    drafter =
        draft_layers > 0 ? powerhouse::early_exit(draft_layers) : powerhouse::prompt_lookup(lookup_ngram, branches);
  }
  return powerhouse::generate_speculatively(session, sequence, tokenizer, ids, *drafter, speculative, generation);
}

}  // namespace cli
