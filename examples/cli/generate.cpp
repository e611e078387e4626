// powerhouse generate: continues raw text.
#include <nlohmann/json.hpp>

#include "common.h"
#include "constraint_flags.h"
#include "search_flags.h"

namespace cli {
namespace {

using nlohmann::ordered_json;

struct Flags {
  ModelFlags model;
  GenerationFlags generation;
  ConstraintFlags constraint;
  SearchFlags search;
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
  if (flags.search.named() && !flags.explain.empty()) {
    throw powerhouse::Error(powerhouse::ErrorKind::usage, "searches explain nothing",
                            {.field = "--explain", .expected = "--strategy sample"});
  }
  if (flags.generation.options.top_log_probs && !flags.json && flags.explain.empty()) {
    throw powerhouse::Error(powerhouse::ErrorKind::usage, "nothing shows them",
                            {.field = "--top-log-probs", .expected = "--json or --explain"});
  }
  check_place(flags.explain, "--explain");
}

void run(const Flags& flags) {
  check(flags);
  const auto tokenizer = powerhouse::Tokenizer::from_pretrained(flags.model.model);
  const auto ids = from_source(
      "--prompt", [&] { return tokenizer.encode(flags.prompt, {.parse_special = !flags.no_parse_special}); });
  const auto constraint = flags.constraint.constraint(tokenizer);
  const powerhouse::CausalLM model = flags.model.load();
  auto options = flags.generation.with(tokenizer);
  options.constraint = constraint;
  if (!flags.json) options.on_token = [](std::string_view text) { write_out(text); };
  powerhouse::Session session(model, flags.cache.session());
  const bool cached = may_exist(flags.prompt_cache);
  const auto sequence = cached ? session.restore(flags.prompt_cache) : session.create();
  options.cache_prompt = true;
  if (flags.search.named()) {
    if (flags.search.strategy == "contrastive" && !flags.prompt_cache.empty()) {
      throw powerhouse::Error(powerhouse::ErrorKind::usage, "contrastive search keeps no cache",
                              {.field = "--prompt-cache", .expected = "another strategy"});
    }
    options.on_token = nullptr;
    flags.search.run(session, sequence, tokenizer, ids, options, flags.json);
    if (!flags.prompt_cache.empty()) session.save(sequence, flags.prompt_cache);
    return;
  }
  if (!flags.explain.empty() && !options.top_log_probs) options.top_log_probs = 5;
  const auto result = powerhouse::generate(session, sequence, tokenizer, ids, options);
  if (flags.json) {
    ordered_json json = to_json(result);
    if (options.top_log_probs) json["tokens"] = to_json(result.choices, tokenizer);
    write_out(json.dump(2) + "\n");
  } else {
    end_text();
    report_speed(result);
  }
  if (!flags.explain.empty()) powerhouse::write_html(result, tokenizer, flags.explain, {.prompt = flags.prompt});
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
