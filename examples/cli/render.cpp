// powerhouse render: a conversation through a chat template, or what is odd about the template.
#include <optional>

#include "common.h"

namespace cli {
namespace {

struct Flags {
  ModelFlags model;
  std::string bare_template, chat_template, messages, tools, documents, variables, continue_final_message;
  bool add_generation_prompt = false, omit_null = false, lint = false;
};

// The same error with the file that it is about, told by the argument that the library names.
powerhouse::Error named(const Flags& flags, const powerhouse::Error& error) {
  const std::pair<std::string_view, const std::string&> arguments[] = {{"messages", flags.messages},
                                                                       {"tools", flags.tools},
                                                                       {"documents", flags.documents},
                                                                       {"variables", flags.variables}};
  for (const auto& [name, path] : arguments) {
    if (error.field().starts_with(name)) return error.in_file(path);
    if (error.file() != name) continue;
    return {error.kind(),
            error.message(),
            {.file = path, .field = error.field(), .expected = error.expected(), .found = error.found()}};
  }
  for (const std::string* source : {&flags.bare_template, &flags.chat_template}) {
    if (!source->empty()) return error.in_file(*source);
  }
  return error.in_file(flags.model.model);
}

// What is odd about the template, one line each on stdout.
void lint(const powerhouse::ChatTemplate& chat_template, const powerhouse::Tokenizer* tokenizer) {
  for (const std::string& warning : lint_chat_template(chat_template, tokenizer)) write_out(warning + "\n");
}

powerhouse::ChatTemplate load_template(const Flags& flags, const powerhouse::Tokenizer* tokenizer) {
  if (!flags.chat_template.empty()) return load_chat_template(flags.chat_template, tokenizer);
  if (flags.bare_template.empty()) return powerhouse::ChatTemplate::from_tokenizer(*tokenizer);
  return from_source(flags.bare_template, [&] { return powerhouse::ChatTemplate(read_file(flags.bare_template)); });
}

void run(const Flags& flags) {
  std::optional<powerhouse::Tokenizer> tokenizer;
  if (!flags.model.model.empty()) tokenizer = powerhouse::Tokenizer::from_pretrained(flags.model.model);
  const powerhouse::Tokenizer* known = tokenizer ? &*tokenizer : nullptr;
  const auto chat_template = load_template(flags, known);
  if (flags.lint) return lint(chat_template, known);
  const auto optional = [](const std::string& path) { return path.empty() ? std::string() : read_file(path); };
  const std::string messages = read_file(flags.messages);
  const powerhouse::RenderOptions options{.add_generation_prompt = flags.add_generation_prompt,
                                          .tools = optional(flags.tools),
                                          .documents = optional(flags.documents),
                                          .variables = optional(flags.variables),
                                          .continue_final_message = flags.continue_final_message,
                                          .omit_null = flags.omit_null};
  try {
    write_out(chat_template.render(std::string_view(messages), options));
  } catch (const powerhouse::Error& error) {
    throw named(flags, error);
  }
  end_text();
}

}  // namespace

void add_render(CLI::App& app, Action& action) {
  auto flags = std::make_shared<Flags>();
  CLI::App& command = *app.add_subcommand("render", "a conversation through a chat template");
  CLI::Option_group& source = *command.add_option_group("template");
  auto* model =
      source.add_option("--model", flags->model.model, "GGUF file or folder whose template to use")->check(not_empty());
  auto* bare = source.add_option("--template", flags->bare_template, "a file with a Jinja template");
  source
      .add_option("--chat-template", flags->chat_template,
                  "a format (" + chat_format_list() + ") or a Jinja file; with --model, in place of its own template")
      ->check(not_empty())
      ->excludes(bare);
  bare->check(not_empty())->excludes(model);
  source.require_option(1, 2);
  flags->model.add_all_but_model(command);
  auto* messages =
      command.add_option("--messages", flags->messages, "JSON file with a list of messages")->check(not_empty());
  command.add_option("--tools", flags->tools, "JSON file with a list of tool schemas")->check(not_empty());
  command.add_option("--documents", flags->documents, "JSON file with a list of documents")->check(not_empty());
  command.add_option("--variables", flags->variables, "JSON file with further variables")->check(not_empty());
  command.add_flag("--add-generation-prompt", flags->add_generation_prompt, "end with the opening of an answer");
  command
      .add_option("--continue-final-message", flags->continue_final_message,
                  "leave the last message open at the end of this key's text, e.g. content")
      ->check(not_empty())
      ->excludes("--add-generation-prompt");
  command.add_flag("--omit-null", flags->omit_null, "leave out keys of messages that hold null, as transformers does");
  CLI::Option* lint = command.add_flag("--lint", flags->lint, "tell what is odd about the template instead");
  lint->excludes(messages);
  command.callback([flags, messages, lint, &action] {
    if (messages->empty() && lint->empty()) throw CLI::RequiredError("--messages or --lint");
    action = [flags] { run(*flags); };
  });
}

}  // namespace cli
