// powerhouse compare: size, fidelity and speed of several models on one text.
#include <algorithm>
#include <cstdio>

#include "common.h"

namespace cli {
namespace {

struct Flags {
  ModelFlags model;  // all but --model
  std::string models;
  std::string reference;
  std::string text;
  std::string html;
  std::int64_t context = 512;
  CacheFlags cache;
  bool no_speed = false;
  bool json = false;
};

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (true) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    parts.push_back(list.substr(begin, end - begin));
    if (parts.back().empty()) {
      throw powerhouse::Error(powerhouse::ErrorKind::usage, "an empty name in a list",
                              {.field = "--models", .expected = "paths with commas between", .found = list});
    }
    if (end == list.size()) return parts;
    begin = end + 1;
  }
}

powerhouse::Comparison measured(const std::string& reference, const std::vector<std::string>& models,
                                const std::string& text, const std::string& file,
                                const powerhouse::ComparisonOptions& options) {
  try {
    return powerhouse::compare(reference, models, text, options);
  } catch (const powerhouse::Error& error) {
    if (error.kind() == powerhouse::ErrorKind::range) throw error.in_file(file);  // too short
    throw;
  }
}

void run(const Flags& flags) {
  check_place(flags.html, "--html");
  std::vector<std::string> models = split(flags.models);
  const bool first_is_reference = flags.reference.empty();
  const std::string reference = first_is_reference ? models.front() : flags.reference;
  if (first_is_reference && !flags.cache.named()) models.erase(models.begin());
  const std::string text = read_file(flags.text);
  if (flags.model.threads > 0) powerhouse::set_threads(flags.model.threads);
  const bool terminal = ::isatty(STDERR_FILENO) != 0;
  const auto progress = [terminal](std::string_view line) {
    std::fprintf(stderr, terminal ? "\r\x1b[K%.*s" : "%.*s\n", static_cast<int>(line.size()), line.data());
  };
  const powerhouse::SessionOptions cache = flags.cache.session();
  const powerhouse::ComparisonOptions options{.context = flags.context,
                                              .load = flags.model.load_options(),
                                              .kv_type = cache.kv_type,
                                              .value_type = cache.value_type,
                                              .measure_speed = !flags.no_speed,
                                              .on_progress = progress};
  const powerhouse::Comparison comparison = measured(reference, models, text, flags.text, options);
  if (terminal) std::fputs("\n", stderr);
  write_out(flags.json ? powerhouse::to_json(comparison) : powerhouse::to_string(comparison));
  if (!flags.html.empty()) powerhouse::write_html(comparison, flags.html);
}

}  // namespace

void add_compare(CLI::App& app, Action& action) {
  auto flags = std::make_shared<Flags>();
  CLI::App& command = *app.add_subcommand("compare", "size, fidelity to a reference and speed of several models");
  command.add_option("--models", flags->models, "GGUF files or folders, with commas between")
      ->required()
      ->check(not_empty());
  command.add_option("--reference", flags->reference, "the model to compare with; the first of --models by default")
      ->check(not_empty());
  command.add_option("--text", flags->text, "a file or pipe with the text")->required()->check(not_empty());
  flags->model.numerics = "exact";
  flags->model.add_all_but_model(command);
  add_context(command, flags->context);
  flags->cache.add(command);
  command.add_flag("--no-speed", flags->no_speed, "leave out tokens a second");
  command.add_option("--html", flags->html, "also write a page with the table and charts of quality over size")
      ->check(not_empty());
  command.add_flag("--json", flags->json, "print as JSON");
  command.callback([flags, &action] { action = [flags] { run(*flags); }; });
}

}  // namespace cli
