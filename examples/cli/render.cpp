// powerhouse render: a conversation through a chat template.
#include "common.h"

namespace cli {
namespace {

struct Flags {
  ModelFlags model;
  std::string chat_template, messages, tools, documents, variables;
  bool add_generation_prompt = false;
};

void run(const Flags& flags) {
  const auto chat_template =
      flags.model.model.empty()
          ? powerhouse::ChatTemplate(read_file(flags.chat_template))
          : powerhouse::ChatTemplate::from_tokenizer(powerhouse::Tokenizer::from_pretrained(flags.model.model));
  const auto optional = [](const std::string& path) { return path.empty() ? std::string() : read_file(path); };
  const std::string messages = read_file(flags.messages);
  write_out(chat_template.render(std::string_view(messages), {.add_generation_prompt = flags.add_generation_prompt,
                                                              .tools = optional(flags.tools),
                                                              .documents = optional(flags.documents),
                                                              .variables = optional(flags.variables)}));
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
  command.add_option("--messages", flags->messages, "JSON file with a list of messages")->required();
  command.add_option("--tools", flags->tools, "JSON file with a list of tool schemas");
  command.add_option("--documents", flags->documents, "JSON file with a list of documents");
  command.add_option("--variables", flags->variables, "JSON file with further variables");
  command.add_flag("--add-generation-prompt", flags->add_generation_prompt, "end with the opening of an answer");
  command.callback([flags, &action] { action = [flags] { run(*flags); }; });
}

}  // namespace cli
