// powerhouse generate: continues raw text.
#include <nlohmann/json.hpp>

#include "common.h"
#include "constraint_flags.h"

namespace cli {
namespace {

using nlohmann::ordered_json;

struct Flags {
  ModelFlags model;
  GenerationFlags generation;
  ConstraintFlags constraint;
  std::string prompt;
  std::string prompt_cache;
  CacheFlags cache;
  bool no_parse_special = false;
  bool json = false;
};

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

void run(const Flags& flags) {
  const auto tokenizer = powerhouse::Tokenizer::from_pretrained(flags.model.model);
  const auto ids = from_source(
      "--prompt", [&] { return tokenizer.encode(flags.prompt, {.parse_special = !flags.no_parse_special}); });
  const auto constraint = flags.constraint.constraint(tokenizer);
  const powerhouse::CausalLM model = flags.model.load();
  auto options = flags.generation.options;
  options.constraint = constraint;
  if (!flags.json) options.on_token = [](std::string_view text) { write_out(text); };
  powerhouse::Session session(model, flags.cache.session());
  const bool cached = may_exist(flags.prompt_cache);
  const auto sequence = cached ? session.restore(flags.prompt_cache) : session.create();
  options.cache_prompt = true;
  const auto result = powerhouse::generate(session, sequence, tokenizer, ids, options);
  if (flags.json) {
    write_out(to_json(result).dump(2) + "\n");
  } else {
    end_text();
    report_speed(result);
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
  flags->cache.add(command);
  flags->model.add_adapter(command);
  add_prompt_cache(command, flags->prompt_cache);
  command.add_flag("--no-parse-special", flags->no_parse_special, "take control tokens in the prompt as plain text");
  command.add_flag("--json", flags->json, "print the result as JSON");
  command.callback([flags, &action] { action = [flags] { run(*flags); }; });
}

}  // namespace cli
