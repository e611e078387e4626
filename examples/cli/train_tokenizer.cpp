// powerhouse train-tokenizer: files to a tokenizer.json, with the trainers and options of `tokenizers`.
#include <map>

#include "common.h"

namespace cli {
namespace {

struct Flags {
  std::vector<std::string> files;
  std::string model = "bpe";
  std::string output;
  int threads = 0;
  std::size_t vocab_size = 0, min_frequency = 0, limit_alphabet = 0, max_token_length = 0;
  std::size_t max_piece_length = 0, n_sub_iterations = 0, seed_size = 0;
  float shrinking_factor = 0;
  std::vector<std::string> special_tokens;
  std::string initial_alphabet, continuing_subword_prefix, end_of_word_suffix, unk_token;
  bool fuse_unk = false, byte_fallback = false, ignore_merges = false;
  powerhouse::TokenizerTrainingOptions options;
  const CLI::App* command = nullptr;

  bool given(const char* flag) const { return command->count(flag) > 0; }
};

// Which trainers know a flag that not all of them do.
const std::map<std::string, std::string>& trainers_of_flags() {
  static const std::map<std::string, std::string> trainers{
      {"--min-frequency", "bpe wordpiece wordlevel"},
      {"--limit-alphabet", "bpe wordpiece"},
      {"--initial-alphabet", "bpe wordpiece unigram"},
      {"--continuing-subword-prefix", "bpe wordpiece"},
      {"--end-of-word-suffix", "bpe wordpiece"},
      {"--max-token-length", "bpe"},
      {"--fuse-unk", "bpe"},
      {"--byte-fallback", "bpe unigram"},
      {"--ignore-merges", "bpe"},
      {"--max-piece-length", "unigram"},
      {"--n-sub-iterations", "unigram"},
      {"--shrinking-factor", "unigram"},
      {"--seed-size", "unigram"},
  };
  return trainers;
}

void check(const Flags& flags) {
  for (const auto& [flag, trainers] : trainers_of_flags()) {
    if (!flags.given(flag.c_str()) || (" " + trainers + " ").find(" " + flags.model + " ") != std::string::npos)
      continue;
    throw powerhouse::Error(powerhouse::ErrorKind::usage, "the model has no such option",
                            {.field = flag, .expected = "--model " + trainers, .found = flags.model});
  }
}

// Each character as a text of its own; the library says where it is no UTF-8.
std::vector<std::string> characters_of(const std::string& text) {
  std::vector<std::string> characters;
  for (const char byte : text) {
    const bool continues = (static_cast<unsigned char>(byte) & 0xC0) == 0x80;
    if (continues && !characters.empty()) {
      characters.back() += byte;
    } else {
      characters.emplace_back(1, byte);
    }
  }
  return characters;
}

// The trainer's options where a flag was given, its defaults elsewhere.
template <typename Options>
Options trainer_options(const Flags& flags) {
  Options options;
  const auto take = [&](const char* flag, auto& value, const auto& found) {
    if (flags.given(flag)) value = found;
  };
  take("--vocab-size", options.vocab_size, flags.vocab_size);
  take("--unk-token", options.unk_token, flags.unk_token);
  options.special_tokens = flags.special_tokens;
  if constexpr (requires { options.min_frequency; }) {
    take("--min-frequency", options.min_frequency, flags.min_frequency);
  }
  if constexpr (requires { options.initial_alphabet; }) {
    options.initial_alphabet = characters_of(flags.initial_alphabet);
  }
  if constexpr (requires { options.limit_alphabet; }) {
    take("--limit-alphabet", options.limit_alphabet, flags.limit_alphabet);
    take("--continuing-subword-prefix", options.continuing_subword_prefix, flags.continuing_subword_prefix);
    take("--end-of-word-suffix", options.end_of_word_suffix, flags.end_of_word_suffix);
  }
  if constexpr (requires { options.byte_fallback; }) options.byte_fallback = flags.byte_fallback;
  if constexpr (requires { options.max_token_length; }) {
    take("--max-token-length", options.max_token_length, flags.max_token_length);
    options.fuse_unk = flags.fuse_unk;
    options.ignore_merges = flags.ignore_merges;
  }
  if constexpr (requires { options.max_piece_length; }) {
    take("--max-piece-length", options.max_piece_length, flags.max_piece_length);
    take("--n-sub-iterations", options.n_sub_iterations, flags.n_sub_iterations);
    take("--shrinking-factor", options.shrinking_factor, static_cast<double>(flags.shrinking_factor));
    take("--seed-size", options.seed_size, flags.seed_size);
  }
  return options;
}

// JSON as it stands, or the file that holds it.
std::string part(const std::string& value) {
  const bool is_json = value.empty() || value == "null" || value.find('{') != std::string::npos;
  return is_json ? value : read_file(value);
}

void run(const Flags& flags) {
  check(flags);
  if (flags.threads > 0) powerhouse::set_threads(flags.threads);
  powerhouse::TokenizerTrainingOptions options = flags.options;
  for (std::string* text : {&options.normalizer, &options.pre_tokenizer, &options.post_processor, &options.decoder}) {
    *text = part(*text);
  }
  if (flags.model == "bpe") options.trainer = trainer_options<powerhouse::BpeTrainerOptions>(flags);
  if (flags.model == "unigram") options.trainer = trainer_options<powerhouse::UnigramTrainerOptions>(flags);
  if (flags.model == "wordpiece") options.trainer = trainer_options<powerhouse::WordPieceTrainerOptions>(flags);
  if (flags.model == "wordlevel") options.trainer = trainer_options<powerhouse::WordLevelTrainerOptions>(flags);
  const powerhouse::TrainedTokenizer trained = powerhouse::train_tokenizer(flags.files, options);
  trained.save(flags.output);
  write_out("vocab_size: " + std::to_string(trained.vocab_size) + "\nmerges: " + std::to_string(trained.merges) +
            "\ndistinct_words: " + std::to_string(trained.distinct_words) + "\n");
}

void add_trainer_flags(CLI::App& command, Flags& flags) {
  const auto number = [&](const char* name, std::size_t& value, const char* help, std::int64_t low) {
    command.add_option(name, value, help)->transform(integer(low, std::int64_t{1} << 40));
  };
  number("--vocab-size", flags.vocab_size, "30000; of Unigram 8000", 1);
  number("--min-frequency", flags.min_frequency, "of a pair that is merged, or of a word; 0", 0);
  number("--limit-alphabet", flags.limit_alphabet, "characters to keep, the most frequent; all", 0);
  number("--max-token-length", flags.max_token_length, "characters of a BPE token; no limit", 0);
  number("--max-piece-length", flags.max_piece_length, "characters of a Unigram piece; 16", 1);
  number("--n-sub-iterations", flags.n_sub_iterations, "of Unigram between two prunings; 2", 0);
  number("--seed-size", flags.seed_size, "pieces that Unigram begins with; 1000000", 1);
  command.add_option("--shrinking-factor", flags.shrinking_factor, "of the pieces that a pruning keeps; 0.75")
      ->transform(cli::number(0, 1, true));
  // One text an occurrence, as it stands: CLI11 would read "[a,b]" for a list as two.
  command
      .add_option_function<std::string>(
          "--special-token", [](const std::string&) {}, "gets one of the first ids; may be repeated")
      ->check(not_empty())
      ->each([&flags](const std::string& text) { flags.special_tokens.push_back(text); })
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  command.add_option("--initial-alphabet", flags.initial_alphabet, "characters that belong to it in any case");
  command.add_option("--continuing-subword-prefix", flags.continuing_subword_prefix,
                     "before all pieces of a word but the first; WordPiece: ##");
  command.add_option("--end-of-word-suffix", flags.end_of_word_suffix, "behind the last piece of a word");
  command.add_option("--unk-token", flags.unk_token, "the unknown token; WordPiece: [UNK], WordLevel: <unk>");
  command.add_flag("--fuse-unk", flags.fuse_unk, "BPE: unknown characters in a row are one unknown token");
  command.add_flag("--byte-fallback", flags.byte_fallback, "unknown characters become tokens <0x00> to <0xFF>");
  command.add_flag("--ignore-merges", flags.ignore_merges, "BPE: a word that is a token is never cut");
}

}  // namespace

void add_train_tokenizer(CLI::App& app, Action& action) {
  auto flags = std::make_shared<Flags>();
  CLI::App& command = *app.add_subcommand("train-tokenizer", "a tokenizer.json from files of text");
  flags->command = &command;
  command.add_option("--files", flags->files, "UTF-8 files; a line is a text")->required()->check(not_empty());
  command.add_option("--output", flags->output, "the tokenizer.json to write")->required()->check(not_empty());
  command.add_option("--model", flags->model, "bpe, unigram, wordpiece or wordlevel")
      ->capture_default_str()
      ->check(CLI::IsMember({"bpe", "unigram", "wordpiece", "wordlevel"}));
  command.add_option("--preset", flags->options.preset,
                     "what stands around the model: whitespace, gpt2, llama or bert; nothing by default");
  for (const auto& [name, value] : {std::pair("--normalizer", &flags->options.normalizer),
                                    std::pair("--pre-tokenizer", &flags->options.pre_tokenizer),
                                    std::pair("--post-processor", &flags->options.post_processor),
                                    std::pair("--decoder", &flags->options.decoder)}) {
    command.add_option(name, *value, "this part of tokenizer.json: JSON, or a file with it; null for none");
  }
  command.add_option("--threads", flags->threads, "threads; the physical cores by default")
      ->transform(integer(1, 1024));
  add_trainer_flags(command, *flags);
  command.callback([flags, &action] { action = [flags] { run(*flags); }; });
}

}  // namespace cli
