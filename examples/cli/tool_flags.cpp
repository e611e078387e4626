#include "tool_flags.h"

#include <nlohmann/json.hpp>

#include "common.h"

namespace cli {
namespace {

using nlohmann::ordered_json;

ordered_json to_json(const powerhouse::ParsedMessage& message, const powerhouse::GenerationResult& result) {
  ordered_json calls = ordered_json::array();
  for (const powerhouse::ToolCall& call : message.calls) {
    calls.push_back(
        {{"id", call.id}, {"type", "function"}, {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
  }
  return {{"role", "assistant"},
          {"content", message.content},
          {"tool_calls", std::move(calls)},
          {"finish_reason", message.calls.empty() ? std::string(powerhouse::to_string(result.finish_reason))
                                                  : std::string("tool_calls")},
          {"prompt_tokens", result.prompt_tokens},
          {"new_tokens", result.ids.size()}};
}

}  // namespace

void ToolFlags::add(CLI::App& command) {
  CLI::Option* const tools =
      command.add_option("--tools", file, "a JSON list of tools that the answer to --message may call")
          ->check(not_empty());
  command.add_option("--tool-choice", choice, "auto, none, required, or the name of the tool that must be called")
      ->capture_default_str()
      ->needs(tools);
  command.add_flag("--no-parallel-tool-calls", one, "one call at most")->needs(tools);
}

void ToolFlags::answer(const powerhouse::CausalLM& model, const powerhouse::Tokenizer& tokenizer,
                       const powerhouse::ChatTemplate& chat_template, const std::string& system,
                       const std::string& message, powerhouse::GenerationOptions options,
                       const powerhouse::SessionOptions& session_options) const {
  const std::string tools = read_file(file);
  ordered_json messages = ordered_json::array();
  if (!system.empty()) messages.push_back({{"role", "system"}, {"content", system}});
  messages.push_back({{"role", "user"}, {"content", message}});
  const std::string prompt = from_source(
      file, [&] { return chat_template.render(messages.dump(), {.add_generation_prompt = true, .tools = tools}); });
  const auto format = powerhouse::ToolCallFormat::from_template(chat_template);
  if (choice != "none") {
    if (options.constraint) {
      refuse_flag("calls of tools are a constraint themselves", "--tools",
                  "--tool-choice none beside another constraint");
    }
    const powerhouse::ToolChoice wanted{.required = choice != "auto",
                                        .name = choice == "auto" || choice == "required" ? std::string() : choice,
                                        .parallel = !one};
    options.constraint =
        from_source(file, [&] { return powerhouse::tool_constraint(tokenizer, format, tools, wanted); });
  }
  options.skip_special_tokens = false;
  powerhouse::Session session(model, session_options);
  const auto result = powerhouse::generate(session, session.create(), tokenizer,
                                           tokenizer.encode(prompt, {.add_special_tokens = false}), options);
  write_out(to_json(format.parse(result.text, tools), result).dump(2) + "\n");
}

}  // namespace cli
