// powerhouse: one program, one file a subcommand. Results on stdout; progress and logs on stderr.
// Exit 0; 1 with one line for bad input; 2 for bad usage.
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>

#include "common.h"
#include "process.h"

namespace {

std::string one_line(std::string_view text) { return std::string(text.substr(0, text.find('\n'))); }

int run(int argc, char** argv) {
  CLI::App app("Runs decoder-only transformers.", "powerhouse");
  app.set_version_flag("--version", std::string(powerhouse::version()));
  app.require_subcommand(1);
  cli::Action action;
  cli::add_generate(app, action);
  cli::add_chat(app, action);
  cli::add_tokenize(app, action);
  cli::add_detokenize(app, action);
  cli::add_render(app, action);
  cli::add_logits(app, action);
  cli::add_convert(app, action);
  cli::add_quantize(app, action);
  cli::add_imatrix(app, action);
  cli::add_perplexity(app, action);
  cli::add_compare(app, action);
  cli::add_inspect(app, action);
  cli::add_benchmark(app, action);
  cli::add_train(app, action);
  cli::add_train_tokenizer(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    cli::write_out(app.help());
    return 0;
  } catch (const CLI::CallForVersion& version) {
    cli::write_out(std::string(version.what()) + "\n");
    return 0;
  } catch (const CLI::ParseError& error) {
    // A word that no command knows says more than that something else is missing.
    const auto unknown = app.remaining(true);
    const std::string line = unknown.empty() ? error.what() : "unknown argument: " + unknown.front();
    std::fprintf(stderr, "powerhouse: %s\n", one_line(line).c_str());
    return 2;
  }
  action();
  return 0;
}

int exit_code(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const powerhouse::Error& error) {
    std::fprintf(stderr, "powerhouse: %s\n", error.what());
    return error.kind() == powerhouse::ErrorKind::usage ? 2 : 1;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "powerhouse: out of memory\n");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "powerhouse: %s\n", one_line(error.what()).c_str());
  } catch (...) {
    std::fprintf(stderr, "powerhouse: an unknown failure\n");
  }
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  // A closed pipe and a file-size limit are errors of the write that meets them.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  cli::leave(exit_code(argc, argv));
}
