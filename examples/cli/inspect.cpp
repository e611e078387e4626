// powerhouse inspect: what a checkpoint holds, from its headers alone.
#include "common.h"

namespace cli {
namespace {

struct Flags {
  ModelFlags model;
  bool tensors = false;
  bool json = false;
  std::int64_t context = 0;
};

}  // namespace

void add_inspect(CLI::App& app, Action& action) {
  auto flags = std::make_shared<Flags>();
  CLI::App& command = *app.add_subcommand("inspect", "architecture, sizes and tensors of a checkpoint");
  flags->model.add(command);
  command.add_flag("--tensors", flags->tensors, "list every tensor");
  command.add_flag("--json", flags->json, "print as JSON");
  command.add_option("--context", flags->context, "tokens to estimate memory for; the model's own, at most 4096")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 31));
  command.callback([flags, &action] {
    action = [flags] {
      const powerhouse::ModelReport report = powerhouse::inspect(flags->model.model);
      write_out(flags->json ? powerhouse::to_json(report, flags->tensors, flags->context) + "\n"
                            : powerhouse::to_string(report, flags->tensors, flags->context));
    };
  });
}

}  // namespace cli
