// powerhouse convert: a model in another container or float type.
#include "common.h"

namespace cli {
namespace {

struct Flags {
  ModelFlags model;
  std::string output;
};

}  // namespace

void add_convert(CLI::App& app, Action& action) {
  auto flags = std::make_shared<Flags>();
  CLI::App& command = *app.add_subcommand("convert", "write the model as a folder, or as a GGUF file for llama.cpp");
  flags->model.add(command, "auto");
  command.add_option("--output", flags->output, "a folder, or a file that ends in .gguf; weights in --dtype")
      ->required()
      ->check(not_empty());
  command.callback([flags, &action] { action = [flags] { flags->model.load().save_pretrained(flags->output); }; });
}

}  // namespace cli
