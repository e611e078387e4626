// Tools that a model may call: told to the chat template, and forced by the template's own format.
#pragma once

#include <powerhouse/powerhouse.h>
#include <CLI/CLI.hpp>

#include <string>

namespace cli {

struct ToolFlags {
  std::string file;
  std::string choice = "auto";  ///< none, required or a tool's name otherwise
  bool one = false;

  void add(CLI::App& command);
  bool named() const { return !file.empty(); }
  /// Answers a message by text and calls, as JSON on stdout: content and tool_calls as in OpenAI's API.
  void answer(const powerhouse::CausalLM& model, const powerhouse::Tokenizer& tokenizer,
              const powerhouse::ChatTemplate& chat_template, const std::string& system, const std::string& message,
              powerhouse::GenerationOptions options, const powerhouse::SessionOptions& session) const;
};

}  // namespace cli
