// powerhouse perplexity: llama.cpp's protocol.
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "common.h"

namespace cli {
namespace {

struct Flags {
  ModelFlags model;
  std::string file;
  std::int64_t context = 512;
  CacheFlags cache;
  bool json = false;
};

void run(const Flags& flags) {
  const std::string text = read_file(flags.file);
  const auto tokenizer = powerhouse::Tokenizer::from_pretrained(flags.model.model);
  const powerhouse::CausalLM model = flags.model.load();
  const bool terminal = ::isatty(STDERR_FILENO) != 0;
  const auto progress = [terminal](std::int64_t done, std::int64_t all, double value) {
    std::fprintf(stderr, terminal ? "\rchunk %lld of %lld: %.4f " : "chunk %lld of %lld: %.4f\n",
                 static_cast<long long>(done), static_cast<long long>(all), value);
  };
  const powerhouse::SessionOptions cache = flags.cache.session();
  const auto result = from_source(flags.file, [&] {
    return powerhouse::perplexity(
        model, tokenizer, text,
        {.context = flags.context, .kv_type = cache.kv_type, .value_type = cache.value_type, .on_progress = progress});
  });
  if (terminal) std::fputs("\n", stderr);
  if (flags.json) {
    const nlohmann::ordered_json json = {{"perplexity", result.perplexity},
                                         {"standard_error", result.standard_error},
                                         {"negative_log_likelihood", result.negative_log_likelihood},
                                         {"tokens", result.tokens},
                                         {"chunks", result.chunks},
                                         {"context", flags.context}};
    write_out(json.dump(2) + "\n");
    return;
  }
  char line[128];
  std::snprintf(line, sizeof line, "perplexity %.4f +/- %.4f over %lld tokens in %lld chunks of %lld\n",
                result.perplexity, result.standard_error, static_cast<long long>(result.tokens),
                static_cast<long long>(result.chunks), static_cast<long long>(flags.context));
  write_out(line);
}

}  // namespace

void add_perplexity(CLI::App& app, Action& action) {
  auto flags = std::make_shared<Flags>();
  CLI::App& command = *app.add_subcommand("perplexity", "how well a model predicts a text");
  flags->model.add(command, "f32");
  flags->model.add_adapter(command);
  command.add_option("--file", flags->file, "a file or pipe with the text")->required()->check(not_empty());
  add_context(command, flags->context);
  flags->cache.add(command);
  command.add_flag("--json", flags->json, "print the result as JSON");
  command.callback([flags, &action] { action = [flags] { run(*flags); }; });
}

}  // namespace cli
