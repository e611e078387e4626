// powerhouse logits: the logits of every position, as a safetensors file.
#include <ATen/core/Tensor.h>

#include "common.h"

namespace cli {
namespace {

struct Flags {
  ModelFlags model;
  std::string ids, output;
  std::int64_t rows = 512;
};

void run(const Flags& flags) {
  const auto ids = parse_ids(flags.ids);
  if (ids.empty()) throw powerhouse::Error(powerhouse::ErrorKind::usage, "no ids", {.field = "--ids"});
  const powerhouse::CausalLM model = flags.model.load();
  powerhouse::Session session(model, {.prefill_chunk = flags.rows});
  const at::Tensor logits = session.forward(session.create(), ids, powerhouse::LogitsOf::all);
  const powerhouse::NamedTensor named{"logits", logits};
  powerhouse::save_safetensors(flags.output, {&named, 1});
}

}  // namespace

void add_logits(CLI::App& app, Action& action) {
  auto flags = std::make_shared<Flags>();
  CLI::App& command = *app.add_subcommand("logits", "logits of every position");
  flags->model.add(command, "f32");
  flags->model.add_adapter(command);
  command.add_option("--ids", flags->ids, "token ids, e.g. \"1 2 3\"")->required();
  command.add_option("--output", flags->output, "safetensors file: `logits`, float32 [length, vocabulary]")
      ->required()
      ->check(not_empty());
  command.add_option("--rows", flags->rows, "tokens a pass; 1 goes through them as generation does")
      ->capture_default_str()
      ->transform(integer(1));
  command.callback([flags, &action] { action = [flags] { run(*flags); }; });
}

}  // namespace cli
