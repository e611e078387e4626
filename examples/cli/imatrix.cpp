// powerhouse imatrix: an importance matrix from text, in llama.cpp's format.
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "common.h"
#include "interrupts.h"

namespace cli {
namespace {

struct Flags {
  ModelFlags model;
  std::string calibration;
  std::string evaluation;
  std::string output;
  powerhouse::ImportanceOptions options;
  bool json = false;
};

void print(const powerhouse::ImportanceReport& report, bool as_json) {
  if (as_json) {
    nlohmann::ordered_json coverage = nlohmann::ordered_json::array();
    for (const powerhouse::ExpertCoverage& row : report.coverage) {
      coverage.push_back(
          {{"weight", row.weight}, {"experts", row.experts}, {"unseen", row.unseen}, {"least_tokens", row.least}});
    }
    const nlohmann::ordered_json json = {{"chunks", report.chunks},
                                         {"tokens", report.tokens},
                                         {"weights", report.weights},
                                         {"seconds", report.seconds},
                                         {"coverage", std::move(coverage)}};
    write_out(json.dump(2) + "\n");
    return;
  }
  std::string text;
  char line[512];
  for (const powerhouse::ExpertCoverage& row : report.coverage) {
    std::snprintf(line, sizeof line, "%s: %lld of %lld experts unseen, the fewest tokens %lld\n", row.weight.c_str(),
                  static_cast<long long>(row.unseen), static_cast<long long>(row.experts),
                  static_cast<long long>(row.least));
    text += line;
  }
  std::snprintf(line, sizeof line, "%lld weights over %lld tokens in %lld chunks, %.2f s\n",
                static_cast<long long>(report.weights), static_cast<long long>(report.tokens),
                static_cast<long long>(report.chunks), report.seconds);
  write_out(text + line);
}

void run(Flags& flags) {
  if (flags.model.threads > 0) powerhouse::set_threads(flags.model.threads);
  Interrupts interrupts(Interrupts::Ends::gently);
  const std::string text = read_file(flags.calibration);
  if (!flags.evaluation.empty()) flags.options.evaluation_text = read_file(flags.evaluation);
  flags.options.dataset = flags.calibration;
  flags.options.cancel = interrupts.begin_answer();
  const bool terminal = ::isatty(STDERR_FILENO) != 0;
  if (terminal) flags.options.on_progress = [](double share) { std::fprintf(stderr, "\r%3.0f %% ", 100 * share); };
  const auto report = from_source(flags.calibration, [&] {
    return powerhouse::collect_importance(flags.model.model, text, flags.output, flags.options);
  });
  if (terminal) std::fputs("\r\033[K", stderr);
  print(report, flags.json);
}

}  // namespace

void add_imatrix(CLI::App& app, Action& action) {
  auto flags = std::make_shared<Flags>();
  CLI::App& command = *app.add_subcommand("imatrix", "how large each weight's inputs are on a text, for quantize");
  flags->model.add(command, "f32");
  command.add_option("--calibration", flags->calibration, "a file or pipe with the text")
      ->required()
      ->check(not_empty());
  command.add_option("--output", flags->output, "the file to write")->required()->check(not_empty());
  command.add_option("--context-length", flags->options.context_length, "tokens a chunk")
      ->capture_default_str()
      ->transform(integer(2));
  command.add_option("--chunks", flags->options.chunks, "the first so many; 0: all")
      ->capture_default_str()
      ->transform(integer(0));
  command
      .add_option("--evaluation-text", flags->evaluation,
                  "a file that models will be measured on: the texts must not overlap")
      ->check(not_empty());
  command.add_option("--memory", flags->options.memory_bytes, "bytes to work in (k, m, g: times 1024, 1024^2, 1024^3)")
      ->transform(CLI::AsSizeValue(false));
  command.add_flag("--json", flags->json, "print the report as JSON");
  command.callback([flags, &action] { action = [flags] { run(*flags); }; });
}

}  // namespace cli
