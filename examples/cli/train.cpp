// powerhouse train: a run that a YAML file describes, in Axolotl's keys.
#include <cstdio>

#include "common.h"
#include "interrupts.h"

namespace cli {
namespace {

struct Flags {
  std::string config;
  std::vector<std::string> overrides;
  int threads = 0;
  std::string device = "cpu";
  bool print_defaults = false;
};

std::string number(double value) {
  char text[64];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

void run(const Flags& flags) {
  powerhouse::TrainingRun run = powerhouse::load_training_run(flags.config, flags.overrides);
  run.device = powerhouse::parse_device(flags.device);
  if (flags.threads > 0) powerhouse::set_threads(flags.threads);
  Interrupts interrupts(Interrupts::Ends::gently);
  const powerhouse::TrainingResult result = powerhouse::train(run, interrupts.begin_answer());
  interrupts.end_answer();
  std::string text = "steps: " + std::to_string(result.steps) + "\nepochs: " + number(result.epochs) +
                     "\nloss: " + number(result.loss) + "\n";
  if (result.final_eval_loss) text += "eval_loss: " + number(*result.final_eval_loss) + "\n";
  if (result.skipped_steps > 0) text += "skipped_steps: " + std::to_string(result.skipped_steps) + "\n";
  text += "tokens_per_second: " + number(result.tokens_per_second) +
          "\npeak_memory_bytes: " + std::to_string(powerhouse::peak_memory_bytes()) +
          "\nend: " + std::string(powerhouse::to_string(result.end)) + "\noutput_dir: " + run.output_dir + "\n";
  write_out(text);
}

}  // namespace

void add_train(CLI::App& app, Action& action) {
  auto flags = std::make_shared<Flags>();
  CLI::App& command = *app.add_subcommand("train", "fine-tune a model as a YAML file in Axolotl's keys says");
  auto* config = command.add_option("--config", flags->config, "the YAML file")->check(not_empty());
  command.add_option("overrides", flags->overrides,
                     "key=value, stronger than the file; datasets.0.path=x reaches deep");
  command.add_option("--threads", flags->threads, "threads; the physical cores by default")
      ->transform(integer(1, 1024));
  add_device(command, flags->device);
  command.add_flag("--print-defaults", flags->print_defaults, "every key with its default and meaning, as YAML")
      ->excludes(config);
  command.callback([flags, &action] {
    if (!flags->print_defaults && flags->config.empty()) throw CLI::RequiredError("--config");
    action = [flags] {
      if (flags->print_defaults) return write_out(powerhouse::training_run_defaults());
      run(*flags);
    };
  });
}

}  // namespace cli
