// powerhouse chat: one answer with --message, else a conversation that keeps its history.
#include <csignal>
#include <cstdio>
#include <iostream>

#include <unistd.h>

#include "common.h"

namespace cli {
namespace {

struct Flags {
  ModelFlags model;
  powerhouse::GenerationOptions options{.max_new_tokens = 512};
  std::uint64_t seed = 0;
  std::string system;
  std::string message;
};

volatile std::sig_atomic_t interrupted = 0;

// Ctrl-C ends a running answer, or, while the program waits for a line, the conversation: the read is not restarted.
void catch_interrupts() {
  struct sigaction handler {};
  handler.sa_handler = [](int) { interrupted = 1; };
  ::sigemptyset(&handler.sa_mask);
  ::sigaction(SIGINT, &handler, nullptr);
}

void answer(powerhouse::Conversation& conversation, const Flags& flags, const std::string& message) {
  std::stop_source stop;
  auto options = flags.options;
  options.cancel = stop.get_token();
  options.on_token = [&stop](std::string_view text) {
    write_out(text);
    if (interrupted != 0) stop.request_stop();
  };
  const auto result = conversation.send(message, options);
  end_text();
  report_speed(result);
}

// One line from stdin; false at its end (Ctrl-D) or after Ctrl-C.
bool read_line(std::string& line) {
  line.clear();
  char byte = 0;
  while (true) {
    const ssize_t count = ::read(STDIN_FILENO, &byte, 1);
    if (count <= 0) return count == 0 && !line.empty();
    if (byte == '\n') return true;
    line += byte;
  }
}

void converse(powerhouse::Conversation& conversation, const Flags& flags) {
  const bool terminal = ::isatty(STDIN_FILENO) != 0;
  std::string line;
  while (interrupted == 0) {
    if (terminal) std::fputs("> ", stderr);
    if (!read_line(line)) break;
    if (line.empty()) continue;
    try {
      answer(conversation, flags, line);
      if (!terminal) write_out("\n");
    } catch (const powerhouse::Error& error) {
      // A line that can't be answered (too long, no UTF-8) does not end the conversation.
      std::fprintf(stderr, "powerhouse: %s\n", error.what());
      if (!terminal) throw;
    }
    interrupted = 0;
  }
  if (terminal) std::fputs("\n", stderr);
}

void run(const Flags& flags) {
  catch_interrupts();
  auto tokenizer = powerhouse::Tokenizer::from_pretrained(flags.model.model);
  const powerhouse::CausalLM model = flags.model.load();
  powerhouse::Conversation conversation(model, std::move(tokenizer), flags.system);
  if (flags.message.empty()) {
    converse(conversation, flags);
  } else if (interrupted == 0) {
    answer(conversation, flags, flags.message);
  }
}

}  // namespace

void add_chat(CLI::App& app, Action& action) {
  auto flags = std::make_shared<Flags>();
  CLI::App& command = *app.add_subcommand("chat", "talk to a model");
  flags->model.add(command, "auto");
  powerhouse::GenerationOptions& options = flags->options;
  command.add_option("--system", flags->system, "the system message");
  command.add_option("--message", flags->message, "answer this and leave");
  command.add_option("--max-new-tokens", options.max_new_tokens, "longest answer")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command.add_option("--temperature", options.temperature, "0 is greedy")->capture_default_str();
  command.add_option("--top-k", options.top_k, "keep the k most probable tokens; 0 is off")->capture_default_str();
  command.add_option("--top-p", options.top_p, "keep the smallest set with this probability")->capture_default_str();
  command.add_option("--min-p", options.min_p, "drop tokens below this share of the best")->capture_default_str();
  command.add_option("--repetition-penalty", options.repetition_penalty, "1 is none")->capture_default_str();
  command.add_option("--stop", options.stop, "end an answer before this text; may be repeated");
  CLI::Option* seed = command.add_option("--seed", flags->seed, "the same seed gives the same answers");
  command.callback([flags, seed, &action] {
    if (seed->count() > 0) flags->options.seed = flags->seed;
    action = [flags] { run(*flags); };
  });
}

}  // namespace cli
