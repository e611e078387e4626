// powerhouse generate: continues raw text.
#include <nlohmann/json.hpp>

#include "common.h"
#include "constraint_flags.h"
#include "contrast_flags.h"
#include "search_flags.h"
#include "speculation_flags.h"

namespace cli {
namespace {

using nlohmann::ordered_json;

struct Flags {
  ModelFlags model;
  GenerationFlags generation;
  ConstraintFlags constraint;
  SearchFlags search;
  ContrastFlags contrast;
  SpeculationFlags speculation;
  std::string prompt;
  std::string prompt_cache;
  CacheFlags cache;
  std::string explain;
  bool no_parse_special = false;
  bool json = false;
};

ordered_json to_json(const powerhouse::TokenLogProb& token, const powerhouse::Tokenizer& tokenizer) {
  const bool known = token.id < static_cast<std::int64_t>(tokenizer.vocab_size());  // a head may have more rows
  return {{"id", token.id},
          {"text", known ? tokenizer.decode({&token.id, 1}) : std::string()},
          {"log_prob", token.log_prob}};
}

// Each token with its log-probability and the best ones in its place.
ordered_json to_json(std::span<const powerhouse::TokenChoice> choices, const powerhouse::Tokenizer& tokenizer) {
  auto tokens = ordered_json::array();
  for (const powerhouse::TokenChoice& choice : choices) {
    ordered_json token = to_json(choice.chosen, tokenizer);
    token["best"] = ordered_json::array();
    for (const powerhouse::TokenLogProb& other : choice.best) token["best"].push_back(to_json(other, tokenizer));
    tokens.push_back(std::move(token));
  }
  return tokens;
}

ordered_json to_json(const powerhouse::GenerationResult& result) {
  return {{"text", result.text},
          {"ids", result.ids},
          {"finish_reason", std::string(powerhouse::to_string(result.finish_reason))},
          {"prompt_tokens", result.prompt_tokens},
          {"reused_tokens", result.reused_tokens},
          {"new_tokens", result.ids.size()},
          {"seed", result.seed},
          {"first_token_seconds", result.first_token_seconds},
          {"prompt_tokens_per_second", result.prompt_tokens_per_second()},
          {"new_tokens_per_second", result.new_tokens_per_second()}};
}

// Nothing is worse than to find after the text that it can't be shown.
void check(const Flags& flags) {
  const std::string& strategy = flags.search.strategy;
  const bool contrasts = ContrastFlags::is_named(strategy);
  flags.search.check();
  flags.contrast.check(strategy);
  flags.speculation.check();
  if (flags.search.named() && !flags.explain.empty()) {
    refuse_flag("searches explain nothing", "--explain", "another strategy");
  }
  if (flags.generation.options.top_log_probs && !flags.json && flags.explain.empty()) {
    refuse_flag("nothing shows them", "--top-log-probs", "--json or --explain");
  }
  if (strategy != "sample" && flags.speculation.named()) {
    refuse_flag("drafts are verified by sampling alone", "--strategy",
                "sample with --prompt-lookup, --draft-model or --draft-layers");
  }
  if ((contrasts || strategy == "contrastive") && !flags.prompt_cache.empty()) {
    refuse_flag("this strategy keeps no cache", "--prompt-cache", "another strategy");
  }
  if (contrasts && flags.cache.named())
    refuse_flag("this strategy chooses its caches", "--kv-type", "another strategy");
  check_place(flags.explain, "--explain");
}

// What a text came of, beside the text.
struct Continued {
  powerhouse::GenerationResult result;
  std::vector<std::int64_t> premature_layers{};
  std::optional<powerhouse::SpeculativeStatistics> speculation{};
};

void show(const Flags& flags, const Continued& text, const powerhouse::Tokenizer& tokenizer) {
  const powerhouse::GenerationResult& result = text.result;
  if (!flags.json) {
    end_text();
    report_speed(result);
  } else {
    ordered_json json = to_json(result);
    if (!result.choices.empty()) json["tokens"] = to_json(result.choices, tokenizer);
    if (!text.premature_layers.empty()) json["premature_layers"] = text.premature_layers;
    if (const auto& found = text.speculation) {
      json["speculation"] = {{"passes", found->passes},
                             {"drafted_passes", found->drafted_passes},
                             {"drafted", found->drafted},
                             {"accepted", found->accepted},
                             {"draft_seconds", found->draft_seconds}};
    }
    write_out(json.dump(2) + "\n");
  }
  if (flags.explain.empty()) return;
  powerhouse::write_html(result, tokenizer, flags.explain,
                         {.prompt = flags.contrast.context + flags.prompt, .premature_layers = text.premature_layers});
}

void run(const Flags& flags) {
  check(flags);
  const auto tokenizer = powerhouse::Tokenizer::from_pretrained(flags.model.model);
  const auto encoded = [&](const std::string& text) {
    return from_source("--prompt", [&] { return tokenizer.encode(text, {.parse_special = !flags.no_parse_special}); });
  };
  const auto ids = encoded(flags.prompt);
  const auto constraint = flags.constraint.constraint(tokenizer);
  const powerhouse::CausalLM model = flags.model.load();
  auto options = flags.generation.with(tokenizer);
  options.constraint = constraint;
  if (!flags.json) options.on_token = [](std::string_view text) { write_out(text); };
  if (!flags.explain.empty() && !options.top_log_probs) options.top_log_probs = 5;
  if (ContrastFlags::is_named(flags.search.strategy)) {
    const std::string& context = flags.contrast.context;
    const auto full = context.empty() ? ids : encoded(context + flags.prompt);
    auto found = flags.contrast.run(flags.search.strategy, model, tokenizer, ids, full, options);
    return show(flags, {std::move(found.generation), std::move(found.premature_layers)}, tokenizer);
  }
  powerhouse::Session session(model, flags.cache.session());
  const bool cached = may_exist(flags.prompt_cache);
  const auto sequence = cached ? session.restore(flags.prompt_cache) : session.create();
  options.cache_prompt = true;
  if (flags.search.named()) {
    options.on_token = nullptr;
    flags.search.run(session, sequence, tokenizer, ids, options, flags.json);
  } else if (flags.speculation.named()) {
    auto found = flags.speculation.run(session, sequence, tokenizer, ids, options);
    show(flags, {.result = std::move(found.generation), .speculation = found.statistics}, tokenizer);
  } else {
    show(flags, {powerhouse::generate(session, sequence, tokenizer, ids, options)}, tokenizer);
  }
  // Last: where it fails, the text is there.
  if (!flags.prompt_cache.empty()) session.save(sequence, flags.prompt_cache);
}

}  // namespace

void add_generate(CLI::App& app, Action& action) {
  auto flags = std::make_shared<Flags>();
  CLI::App& command = *app.add_subcommand("generate", "continue raw text");
  flags->model.add(command, "auto");
  command.add_option("--prompt", flags->prompt, "the text to continue; no template is applied")->required();
  flags->generation.add(command);
  flags->constraint.add(command);
  flags->search.add(command);
  flags->contrast.add(command);
  flags->speculation.add(command);
  flags->cache.add(command);
  flags->model.add_adapter(command);
  add_prompt_cache(command, flags->prompt_cache);
  command.add_flag("--no-parse-special", flags->no_parse_special, "take control tokens in the prompt as plain text");
  command.add_flag("--json", flags->json, "print the result as JSON");
  command.add_option("--explain", flags->explain,
                     "also write a page that colours each token by its probability and shows others in its place");
  command
      .add_option_function<std::int64_t>(
          "--top-log-probs", [flags](std::int64_t count) { flags->generation.options.top_log_probs = count; },
          "with --json or --explain: the log-probability of each token, and so many of the best in its place")
      ->transform(integer(0));
  command.callback([flags, &action] { action = [flags] { run(*flags); }; });
}

}  // namespace cli
