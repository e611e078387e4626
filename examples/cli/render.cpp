// powerhouse render: a conversation through a chat template.
#include "common.h"

namespace cli {
namespace {

struct Flags {
  ModelFlags model;
  std::string chat_template, messages, tools, documents, variables;
  bool add_generation_prompt = false;
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
  return error.in_file(flags.model.model.empty() ? flags.chat_template : flags.model.model);
}

void run(const Flags& flags) {
  const auto chat_template =
      flags.model.model.empty()
          ? from_source(flags.chat_template, [&] { return powerhouse::ChatTemplate(read_file(flags.chat_template)); })
          : powerhouse::ChatTemplate::from_tokenizer(powerhouse::Tokenizer::from_pretrained(flags.model.model));
  const auto optional = [](const std::string& path) { return path.empty() ? std::string() : read_file(path); };
  const std::string messages = read_file(flags.messages);
  const powerhouse::RenderOptions options{.add_generation_prompt = flags.add_generation_prompt,
                                          .tools = optional(flags.tools),
                                          .documents = optional(flags.documents),
                                          .variables = optional(flags.variables)};
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
  source.add_option("--model", flags->model.model, "GGUF file or folder whose template to use")->check(not_empty());
  source.add_option("--template", flags->chat_template, "a file with a Jinja template")->check(not_empty());
  source.require_option(1);
  flags->model.add_all_but_model(command);
  command.add_option("--messages", flags->messages, "JSON file with a list of messages")
      ->required()
      ->check(not_empty());
  command.add_option("--tools", flags->tools, "JSON file with a list of tool schemas")->check(not_empty());
  command.add_option("--documents", flags->documents, "JSON file with a list of documents")->check(not_empty());
  command.add_option("--variables", flags->variables, "JSON file with further variables")->check(not_empty());
  command.add_flag("--add-generation-prompt", flags->add_generation_prompt, "end with the opening of an answer");
  command.callback([flags, &action] { action = [flags] { run(*flags); }; });
}

}  // namespace cli
