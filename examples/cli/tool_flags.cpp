#include "tool_flags.h"

#include <nlohmann/json.hpp>

#include "common.h"

namespace cli {
namespace {

using nlohmann::ordered_json;

// Whether the text may end within a call.
bool cut_off(const powerhouse::GenerationResult& result) {
  return result.finish_reason != powerhouse::FinishReason::eos &&
         result.finish_reason != powerhouse::FinishReason::stop;
}

ordered_json to_json(const powerhouse::ParsedMessage& message, const powerhouse::GenerationResult& result) {
  ordered_json calls = ordered_json::array();
  for (const powerhouse::ToolCall& call : message.calls) {
    const std::string id = call.id.empty() ? "call_" + std::to_string(calls.size()) : call.id;
    calls.push_back(
        {{"id", id}, {"type", "function"}, {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
  }
  ordered_json out = {{"role", "assistant"}, {"content", message.content}, {"tool_calls", std::move(calls)}};
  if (!message.unfinished.empty()) out["unfinished"] = message.unfinished;
  out["finish_reason"] =
      message.calls.empty() || cut_off(result) ? powerhouse::to_string(result.finish_reason) : "tool_calls";
  out["prompt_tokens"] = result.prompt_tokens;
  out["new_tokens"] = result.ids.size();
  return out;
}

// Templates know tools in "function" alone.
std::string wrapped(const std::string& tools) {
  ordered_json all = ordered_json::parse(tools, nullptr, false);
  if (!all.is_array()) return tools;  // the template says what is wrong with it
  for (ordered_json& tool : all) {
    if (tool.is_object() && !tool.contains("function")) tool = {{"type", "function"}, {"function", tool}};
  }
  return all.dump();
}

}  // namespace

void ToolFlags::add(CLI::App& command) {
  CLI::Option* const tools =
      command.add_option("--tools", file, "a JSON list of tools that the answer to --message may call")
          ->check(not_empty());
  command.add_option("--tool-choice", choice, "auto, none, required, or the name of the tool that must be called")
      ->capture_default_str()
      ->check(not_empty())
      ->needs(tools);
  command.add_flag("--no-parallel-tool-calls", one, "one call at most")->needs(tools);
}

void ToolFlags::answer(const powerhouse::CausalLM& model, const powerhouse::Tokenizer& tokenizer,
                       const powerhouse::ChatTemplate& chat_template, const std::string& system,
                       const std::string& message, powerhouse::GenerationOptions options,
                       const powerhouse::SessionOptions& session_options) const {
  const std::string tools = wrapped(read_file(file));
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
  write_out(
      to_json(format.parse(result.text, tools, result.finish_reason != powerhouse::FinishReason::eos), result).dump(2) +
      "\n");
}

}  // namespace cli
