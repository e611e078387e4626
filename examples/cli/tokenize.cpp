// powerhouse tokenize, detokenize: text to ids and back; neither needs weights or a known architecture.
#include "common.h"

namespace cli {
namespace {

struct TokenizeFlags {
  ModelFlags model;
  std::string text, file;
  bool no_special = false;
  bool no_parse_special = false;
  bool count = false;
};

void tokenize(const TokenizeFlags& flags) {
  const auto tokenizer = powerhouse::Tokenizer::from_pretrained(flags.model.model);
  const std::string text = flags.file.empty() ? flags.text : read_file(flags.file);
  const auto ids = from_source(flags.file.empty() ? "--text" : flags.file, [&] {
    return tokenizer.encode(text, {.add_special_tokens = !flags.no_special, .parse_special = !flags.no_parse_special});
  });
  std::string line;
  if (flags.count) {
    line = std::to_string(ids.size());
  } else {
    for (const std::int64_t id : ids) line += (line.empty() ? "" : " ") + std::to_string(id);
  }
  write_out(line + "\n");
}

struct DetokenizeFlags {
  ModelFlags model;
  std::string ids;
};

}  // namespace

void add_tokenize(CLI::App& app, Action& action) {
  auto flags = std::make_shared<TokenizeFlags>();
  CLI::App& command = *app.add_subcommand("tokenize", "text to token ids");
  flags->model.add(command);
  CLI::Option_group& source = *command.add_option_group("text");
  source.add_option("--text", flags->text, "the text");
  source.add_option("--file", flags->file, "a file or pipe with the text")->check(not_empty());
  source.require_option(1);
  command.add_flag("--no-special", flags->no_special, "add no BOS and EOS");
  command.add_flag("--no-parse-special", flags->no_parse_special, "take control tokens in the text as plain text");
  command.add_flag("--count", flags->count, "print how many there are instead");
  command.callback([flags, &action] { action = [flags] { tokenize(*flags); }; });
}

void add_detokenize(CLI::App& app, Action& action) {
  auto flags = std::make_shared<DetokenizeFlags>();
  CLI::App& command = *app.add_subcommand("detokenize", "token ids to text");
  flags->model.add(command);
  command.add_option("--ids", flags->ids, "ids, e.g. \"1 2 3\"")->required();
  command.callback([flags, &action] {
    action = [flags] {
      const auto ids = parse_ids(flags->ids);
      write_out(powerhouse::Tokenizer::from_pretrained(flags->model.model).decode(ids));
      end_text();
    };
  });
}

}  // namespace cli
