// powerhouse chat: one answer with --message, else a conversation that keeps its history.
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <optional>

#include "common.h"
#include "constraint_flags.h"
#include "interrupts.h"
#include "tool_flags.h"

namespace cli {
namespace {

struct Flags {
  ModelFlags model;
  GenerationFlags generation{.options = {.max_new_tokens = 512}};
  ConstraintFlags constraint;
  std::string system, chat_template, prompt_cache;
  CacheFlags cache;
  ToolFlags tools;
  std::optional<std::string> message;
};

constexpr std::size_t kLongestLine = std::size_t{1} << 24;

void answer(powerhouse::Conversation& conversation, Interrupts& interrupts, const Flags& flags,
            powerhouse::GenerationOptions options, const std::string& message) {
  options.cancel = interrupts.begin_answer();
  options.on_token = [](std::string_view text) { write_out(text); };
  const auto result = conversation.send(message, options);
  interrupts.end_answer();
  if (flags.message) {
    end_text();
  } else {
    write_out("\n");
  }
  report_speed(result);
}

// One line from stdin; false at its end (Ctrl-D).
bool read_line(std::string& line) {
  line.clear();
  for (int byte = std::cin.get(); byte != std::char_traits<char>::eof(); byte = std::cin.get()) {
    if (byte == '\n') return true;
    line += static_cast<char>(byte);
    if (line.size() > kLongestLine) {
      throw powerhouse::Error(powerhouse::ErrorKind::range, "the line is too long",
                              {.file = "stdin", .expected = "at most 16 MiB"});
    }
  }
  return !line.empty();
}

void converse(powerhouse::Conversation& conversation, Interrupts& interrupts, const Flags& flags,
              const powerhouse::GenerationOptions& options) {
  const bool terminal = ::isatty(STDIN_FILENO) != 0;
  std::string line;
  while (true) {
    if (terminal) std::fputs("> ", stderr);
    if (!read_line(line)) break;
    if (line.empty()) continue;
    try {
      answer(conversation, interrupts, flags, options, line);
    } catch (const powerhouse::Error& error) {
      // A person's line that can't be answered (too long, no UTF-8) does not end the conversation.
      if (!terminal || error.kind() == powerhouse::ErrorKind::io) throw;
      interrupts.end_answer();
      std::fprintf(stderr, "powerhouse: %s\n", error.what());
    }
  }
  if (terminal) std::fputs("\n", stderr);
}

void run(Flags& flags) {
  if (flags.tools.named() && !flags.message) {
    refuse_flag("a conversation would need the tools' answers", "--tools", "--message");
  }
  if (flags.tools.named() && !flags.prompt_cache.empty()) {
    refuse_flag("an answer with tools keeps no cache", "--prompt-cache", "none with --tools");
  }
  Interrupts interrupts;
  auto tokenizer = powerhouse::Tokenizer::from_pretrained(flags.model.model);
  flags.generation.options.constraint = flags.constraint.constraint(tokenizer);
  const powerhouse::CausalLM model = flags.model.load();
  auto chat_template = flags.chat_template.empty() ? powerhouse::ChatTemplate::from_tokenizer(tokenizer)
                                                   : load_chat_template(flags.chat_template, &tokenizer);
  powerhouse::GenerationOptions options = flags.generation.with(tokenizer);
  if (flags.tools.named()) {
    options.cancel = interrupts.begin_answer();
    return flags.tools.answer(model, tokenizer, chat_template, flags.system, *flags.message, options,
                              flags.cache.session());
  }
  powerhouse::Conversation conversation(model, std::move(tokenizer), std::move(chat_template), flags.system,
                                        flags.cache.session());
  if (may_exist(flags.prompt_cache)) conversation.restore_cache(flags.prompt_cache);
  if (flags.message) {
    answer(conversation, interrupts, flags, options, *flags.message);
  } else {
    converse(conversation, interrupts, flags, options);
  }
  if (!flags.prompt_cache.empty()) conversation.save_cache(flags.prompt_cache);
}

}  // namespace

void add_chat(CLI::App& app, Action& action) {
  auto flags = std::make_shared<Flags>();
  CLI::App& command = *app.add_subcommand("chat", "talk to a model");
  flags->model.add(command, "auto");
  flags->model.add_adapter(command);
  command.add_option("--system", flags->system, "the system message");
  command
      .add_option("--chat-template", flags->chat_template,
                  "a format (" + chat_format_list() + ") or a Jinja file, in place of the model's own template")
      ->check(not_empty());
  command.add_option("--message", flags->message, "answer this and leave");
  add_prompt_cache(command, flags->prompt_cache);
  flags->generation.add(command);
  flags->constraint.add(command);
  flags->cache.add(command);
  flags->tools.add(command);
  command.callback([flags, &action] { action = [flags] { run(*flags); }; });
}

}  // namespace cli
