// What the subcommands share: output, input, and how one ends.
#pragma once

#include <powerhouse/powerhouse.h>
#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "flags.h"

namespace cli {

/// Runs once the flags are parsed; set by each command.
using Action = std::function<void()>;

// One a file.
void add_generate(CLI::App& app, Action& action);
void add_chat(CLI::App& app, Action& action);
void add_tokenize(CLI::App& app, Action& action);
void add_detokenize(CLI::App& app, Action& action);
void add_render(CLI::App& app, Action& action);
void add_logits(CLI::App& app, Action& action);
void add_perplexity(CLI::App& app, Action& action);
void add_compare(CLI::App& app, Action& action);
void add_inspect(CLI::App& app, Action& action);
void add_benchmark(CLI::App& app, Action& action);
void add_imatrix(CLI::App& app, Action& action);
void add_quantize(CLI::App& app, Action& action);
void add_convert(CLI::App& app, Action& action);
void add_train(CLI::App& app, Action& action);
void add_train_tokenizer(CLI::App& app, Action& action);

/// Writes to stdout at once. A full disk is Error{io}; a reader that went away ends the program quietly.
void write_out(std::string_view text);
/// Ends text output: a newline where a person looks at a terminal; scripts get the bytes and nothing else.
void end_text();

/// Error{usage} of a flag that can't be as it is.
[[noreturn]] void refuse_flag(const char* what, const char* flag, const char* expected);

/// Whether something stands at `path`, or whether there is anything can't be told: opening it says why.
bool may_exist(const std::string& path);
/// What takes long is not to end at a page that has no place: Error{io} naming `flag` where its folder can't be written
/// to. An empty path is fine.
void check_place(const std::string& page, const std::string& flag);
/// The whole text of a file or a pipe, at most 1 GiB. Errors name it.
std::string read_file(const std::string& path);
/// The template that --chat-template names: a format ("alpaca"), else a file. Special tokens are the tokenizer's, or
/// without one the format's own.
powerhouse::ChatTemplate load_chat_template(const std::string& name, const powerhouse::Tokenizer* tokenizer);
/// "alpaca, chatml, ...", for the help.
std::string chat_format_list();
/// "1 2 3" as ids. Error{usage} naming what is no number.
std::vector<std::int64_t> parse_ids(const std::string& text, const char* flag = "--ids");

/// Calls `body`; an error about what it was given names `source`, the file or the flag that gave it.
template <typename Body>
auto from_source(const std::string& source, Body body) {
  try {
    return body();
  } catch (const powerhouse::Error& error) {
    throw error.in_file(source);
  }
}

using Clock = std::chrono::steady_clock;
inline double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Tokens a second, on stderr.
void report_speed(const powerhouse::GenerationResult& result);

}  // namespace cli
