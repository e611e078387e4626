#include "search_flags.h"

#include <nlohmann/json.hpp>

#include <algorithm>

#include "common.h"

namespace cli {
namespace {

using nlohmann::ordered_json;

// "TEXT", or a JSON list of texts of which one must occur.
powerhouse::PhraseAlternatives phrases(const powerhouse::Tokenizer& tokenizer, const std::string& text) {
  std::vector<std::string> texts = {text};
  if (text.starts_with("[")) {
    const auto list = ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
    const bool strings =
        list.is_array() && std::all_of(list.begin(), list.end(), [](const auto& one) { return one.is_string(); });
    if (!strings) {
      throw powerhouse::Error(powerhouse::ErrorKind::usage, "no phrase and no list of phrases",
                              {.field = "--force-words", .expected = R"(TEXT or ["TEXT", ...])", .found = text});
    }
    texts = list.get<std::vector<std::string>>();
  }
  powerhouse::PhraseAlternatives alternatives;
  for (const std::string& one : texts) alternatives.push_back(tokenizer.encode(one, {.add_special_tokens = false}));
  return alternatives;
}

ordered_json to_json(const powerhouse::BeamHypothesis& one) {
  return {{"text", one.text},
          {"ids", one.ids},
          {"score", one.score},
          {"finish_reason", std::string(powerhouse::to_string(one.finish_reason))},
          {"constraints_met", one.constraints_met}};
}

void write_json(ordered_json sequences, std::size_t prompt_tokens, Clock::time_point begin) {
  const ordered_json all = {
      {"sequences", std::move(sequences)}, {"prompt_tokens", prompt_tokens}, {"seconds", seconds_since(begin)}};
  write_out(all.dump(2) + "\n");
}

}  // namespace

void SearchFlags::add(CLI::App& command) {
  command
      .add_option("--strategy", strategy,
                  "sample (greedy at temperature 0), beam, diverse-beam, constrained-beam, contrastive, context-aware, "
                  "contrastive-decoding or dola")
      ->capture_default_str()
      ->check(CLI::IsMember({"sample", "beam", "diverse-beam", "constrained-beam", "contrastive", "context-aware",
                             "contrastive-decoding", "dola"}));
  const auto of = [&](const char* one, const char* name, auto& value, const char* help, const CLI::Validator& bounds) {
    belongings_.push_back({command.add_option(name, value, help)->capture_default_str()->transform(bounds), one});
  };
  of("beam", "--num-beams", beams.num_beams, "beams of a beam search", integer(1, 1024));
  of("beam", "--num-return-sequences", beams.num_return_sequences, "how many of its texts, the best first",
     integer(1, 1024));
  of("beam", "--length-penalty", beams.length_penalty, "scores are sums over length ^ this", number(-100, 100));
  of("beam", "--early-stopping", early_stopping, "when a beam search ends: false, true or never",
     CLI::IsMember({"false", "true", "never"}));
  of("diverse-beam", "--num-beam-groups", beams.num_beam_groups, "groups of a diverse beam search", integer(1, 1024));
  of("diverse-beam", "--diversity-penalty", beams.diversity_penalty, "what a token costs that a group before took",
     number(0, kLargest));
  CLI::Option* const words = command
                                 .add_option_function<std::string>(
                                     "--force-words", [](const std::string&) {},
                                     R"(a phrase that must occur, or a JSON list of which one must; may be repeated)")
                                 ->check(not_empty())
                                 ->each([this](const std::string& text) { force_words.push_back(text); })
                                 ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  belongings_.push_back({words, "constrained-beam"});
  of("contrastive", "--penalty-alpha", penalty_alpha,
     "how contrastive search shuns what the text says already; with --top-k", number(0, 1));
}

void SearchFlags::check() const {
  for (const Belonging& one : belongings_) {
    if (one.flag->count() == 0 || names(one.strategy)) continue;
    const std::string flag = one.flag->get_name(), expected = "--strategy " + one.strategy;
    refuse_flag("a flag of another strategy", flag.c_str(), expected.c_str());
  }
  if (strategy == "constrained-beam" && force_words.empty()) {
    refuse_flag("there is nothing to force", "--force-words", "a phrase");
  }
  if (strategy == "diverse-beam" && beams.num_beam_groups == 1) {
    refuse_flag("one group is not diverse", "--num-beam-groups", "2 or more");
  }
}

powerhouse::BeamSearchOptions SearchFlags::beam_options(const powerhouse::Tokenizer& tokenizer,
                                                        const powerhouse::GenerationOptions& options) const {
  powerhouse::BeamSearchOptions search = beams;
  search.early_stopping = powerhouse::parse_early_stopping(early_stopping);
  search.generation = options;
  for (const std::string& text : force_words) search.force_words_ids.push_back(phrases(tokenizer, text));
  return search;
}

void SearchFlags::run_contrastive(powerhouse::Session& session, const powerhouse::Tokenizer& tokenizer,
                                  const std::vector<std::int64_t>& ids, const powerhouse::GenerationOptions& options,
                                  bool json) const {
  powerhouse::ContrastiveSearchOptions search{.penalty_alpha = penalty_alpha, .generation = options};
  if (options.top_k > 0) search.top_k = options.top_k;
  search.generation.top_k = 0;
  search.generation.cache_prompt = false;
  if (!json) search.generation.on_token = [](std::string_view text) { write_out(text); };
  const auto begin = Clock::now();
  const auto result = powerhouse::contrastive_search(session, tokenizer, ids, search);
  if (!json) return end_text();
  const ordered_json one = {{"text", result.text},
                            {"ids", result.ids},
                            {"finish_reason", std::string(powerhouse::to_string(result.finish_reason))}};
  write_json(ordered_json::array({one}), ids.size(), begin);
}

void SearchFlags::run(powerhouse::Session& session, powerhouse::SequenceId sequence,
                      const powerhouse::Tokenizer& tokenizer, const std::vector<std::int64_t>& ids,
                      const powerhouse::GenerationOptions& options, bool json) const {
  if (strategy == "contrastive") return run_contrastive(session, tokenizer, ids, options, json);
  const auto begin = Clock::now();
  const auto found = powerhouse::beam_search(session, sequence, tokenizer, ids, beam_options(tokenizer, options));
  if (json) {
    ordered_json sequences = ordered_json::array();
    for (const powerhouse::BeamHypothesis& one : found) sequences.push_back(to_json(one));
    return write_json(std::move(sequences), ids.size(), begin);
  }
  if (beams.num_return_sequences == 1) {
    write_out(found.empty() ? "" : found.front().text);
    return end_text();
  }
  for (const powerhouse::BeamHypothesis& one : found) write_out(std::to_string(one.score) + "\t" + one.text + "\n");
}

}  // namespace cli
