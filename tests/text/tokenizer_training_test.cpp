// Training against the trainers of `tokenizers` (tests/oracles/tokenizer_training.py).
#include "powerhouse/tokenizer_training.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "expect_error.h"
#include "support/thread_team.h"
#include "temporary_folder.h"
#include "text/tokenizer_presets.h"
#include "text/training_texts.h"
#include "tokenizer_cases.h"

namespace powerhouse {
namespace {

using testing::expect_error;
using testing::TemporaryFolder;
using testing::text_fixture;

std::string corpus(const std::string& name) { return text_fixture("training/" + name); }

std::string read(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

class Threads {
 public:
  explicit Threads(int count) : before_(team_threads()) { set_team_threads(count); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
  ~Threads() { set_team_threads(before_); }

 private:
  int before_;
};

std::vector<std::string> texts_of(const Json& object, const char* key) {
  std::vector<std::string> texts;
  if (const Json* list = object.get(key)) {
    for (const Json& text : list->as_array()) texts.push_back(text.as_string());
  }
  return texts;
}

void read_size(const Json& given, const char* key, std::size_t& value) {
  value = static_cast<std::size_t>(given.integer_or(key, static_cast<std::int64_t>(value)));
}

void read_size(const Json& given, const char* key, std::optional<std::size_t>& value) {
  if (given.get(key) != nullptr) value = static_cast<std::size_t>(given.at(key).as_integer());
}

// The options of a case, by the names that both sides use.
template <typename Options>
Options read_options(const Json& given) {
  Options options;
  read_size(given, "vocab_size", options.vocab_size);
  options.special_tokens = texts_of(given, "special_tokens");
  options.unk_token = given.string_or("unk_token", options.unk_token);
  if constexpr (requires { options.min_frequency; }) read_size(given, "min_frequency", options.min_frequency);
  if constexpr (requires { options.initial_alphabet; }) options.initial_alphabet = texts_of(given, "initial_alphabet");
  if constexpr (requires { options.limit_alphabet; }) {
    read_size(given, "limit_alphabet", options.limit_alphabet);
    options.continuing_subword_prefix = given.string_or("continuing_subword_prefix", options.continuing_subword_prefix);
    options.end_of_word_suffix = given.string_or("end_of_word_suffix", options.end_of_word_suffix);
  }
  if constexpr (requires { options.max_token_length; }) {
    read_size(given, "max_token_length", options.max_token_length);
    options.fuse_unk = given.bool_or("fuse_unk", false);
    options.ignore_merges = given.bool_or("ignore_merges", false);
  }
  if constexpr (requires { options.max_piece_length; }) {
    read_size(given, "max_piece_length", options.max_piece_length);
    read_size(given, "n_sub_iterations", options.n_sub_iterations);
    read_size(given, "seed_size", options.seed_size);
    options.shrinking_factor = given.double_or("shrinking_factor", options.shrinking_factor);
  }
  return options;
}

TokenizerTrainingOptions options_of(const Json& test) {
  const std::string& kind = test.at("kind").as_string();
  const Json& given = test.at("options");
  TokenizerTrainingOptions options;
  if (kind == "bpe") options.trainer = read_options<BpeTrainerOptions>(given);
  if (kind == "unigram") options.trainer = read_options<UnigramTrainerOptions>(given);
  if (kind == "wordpiece") options.trainer = read_options<WordPieceTrainerOptions>(given);
  if (kind == "wordlevel") options.trainer = read_options<WordLevelTrainerOptions>(given);
  const Json& expected = test.at("expected");
  if (const Json* part = expected.get("normalizer")) options.normalizer = part->dump();
  if (const Json* part = expected.get("pre_tokenizer")) options.pre_tokenizer = part->dump();
  return options;
}

std::vector<std::string> files_of(const Json& test) {
  std::vector<std::string> files;
  for (const std::string& name : texts_of(test, "files")) files.push_back(corpus(name));
  return files;
}

// Unigram: the same pieces with the same scores, the best first. The scores of `free` pieces are dealt out by a hash
// table there: the same scores, to whichever of these pieces.
void compare_unigram(const Json& ours, const Json& theirs, const std::set<std::string>& free) {
  EXPECT_EQ(ours.get("unk_id") == nullptr, theirs.get("unk_id") == nullptr);
  EXPECT_EQ(ours.integer_or("unk_id", -1), theirs.integer_or("unk_id", -1));
  std::map<std::string, double> expected;
  std::vector<double> free_ours;
  std::vector<double> free_theirs;
  for (const Json& piece : theirs.at("vocab").as_array()) {
    const std::string& text = piece.as_array()[0].as_string();
    expected[text] = piece.as_array()[1].as_double();
    if (free.contains(text)) free_theirs.push_back(expected[text]);
  }
  ASSERT_EQ(ours.at("vocab").as_array().size(), theirs.at("vocab").as_array().size());
  double last = 0;
  std::size_t found = 0;
  for (const Json& piece : ours.at("vocab").as_array()) {
    const std::string& text = piece.as_array()[0].as_string();
    const double score = piece.as_array()[1].as_double();
    EXPECT_LE(score, last) << text;
    last = score;
    ASSERT_TRUE(expected.contains(text)) << text;
    ++found;
    if (free.contains(text)) {
      free_ours.push_back(score);
    } else {
      EXPECT_NEAR(score, expected[text], 1e-6 * std::abs(expected[text])) << text;
    }
  }
  EXPECT_EQ(found, expected.size());
  std::sort(free_theirs.rbegin(), free_theirs.rend());
  ASSERT_EQ(free_ours.size(), free_theirs.size());
  for (std::size_t i = 0; i < free_ours.size(); ++i) EXPECT_NEAR(free_ours[i], free_theirs[i], 1e-5);
}

TEST(TokenizerTraining, LearnsWhatTokenizersLearns) {
  const Json cases = Json::parse_file(corpus("cases.json"));
  ASSERT_EQ(cases.as_array().size(), 29u);
  for (const Json& test : cases.as_array()) {
    SCOPED_TRACE(test.at("name").as_string());
    const TrainedTokenizer trained = train_tokenizer(files_of(test), options_of(test));
    const Json ours = Json::parse(trained.json, "ours");
    const Json& theirs = test.at("expected");
    if (test.at("kind").as_string() == "unigram") {
      const std::vector<std::string> free = texts_of(test, "free");
      compare_unigram(ours.at("model"), theirs.at("model"), {free.begin(), free.end()});
      for (const char* key : {"added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder"}) {
        const Json* expected = theirs.get(key);
        const Json* found = ours.get(key);
        EXPECT_EQ(found == nullptr ? "null" : found->dump(), expected == nullptr ? "null" : expected->dump()) << key;
      }
    } else {
      EXPECT_EQ(trained.json, theirs.dump(2));  // in the same order, too
    }
  }
}

TEST(TokenizerTraining, DoesNotDependOnThreadsOrOnWhereTextsComeFrom) {
  const std::vector<std::string> files{corpus("prose.txt"), corpus("code.txt"), corpus("runs.txt")};
  const std::vector<TrainerOptions> trainers{
      BpeTrainerOptions{.vocab_size = 600, .end_of_word_suffix = "</w>"},
      UnigramTrainerOptions{.vocab_size = 300, .unk_token = "<unk>"},
      WordPieceTrainerOptions{.vocab_size = 600},
      WordLevelTrainerOptions{.vocab_size = 300},
  };
  for (const TrainerOptions& trainer : trainers) {
    SCOPED_TRACE(trainer.index());
    const TokenizerTrainingOptions options{.trainer = trainer, .preset = "gpt2"};
    std::string first;
    for (const int threads : {1, 2, 7}) {
      const Threads set(threads);
      const TrainedTokenizer trained = train_tokenizer(files, options);
      if (first.empty()) first = trained.json;
      EXPECT_EQ(trained.json, first) << threads << " threads";
    }
    FileLines lines(files);
    TextBatch batch;
    std::vector<std::string> texts;
    while (lines.next(batch, 1000)) texts.insert(texts.end(), batch.texts.begin(), batch.texts.end());
    std::size_t next = 0;
    const auto give = [&]() -> std::optional<std::string> {
      return next < texts.size() ? std::optional(texts[next++]) : std::nullopt;
    };
    EXPECT_EQ(train_tokenizer(give, options).json, first);
    EXPECT_EQ(next, texts.size());
  }
}

TEST(TokenizerTraining, GivesATokenizerThatLoads) {
  const TemporaryFolder folder;
  const TrainedTokenizer trained = train_tokenizer(
      {corpus("prose.txt")},
      {.trainer = BpeTrainerOptions{.vocab_size = 500, .special_tokens = {"<|endoftext|>"}}, .preset = "gpt2"});
  EXPECT_EQ(trained.vocab_size, 500u);
  EXPECT_EQ(trained.merges, 500u - 256 - 1);
  trained.save(folder.file("tokenizer.json"));
  EXPECT_EQ(read(folder.file("tokenizer.json")), trained.json);
  const Tokenizer tokenizer = Tokenizer::from_pretrained(folder.path());
  EXPECT_EQ(tokenizer.vocab_size(), 500u);
  EXPECT_EQ(tokenizer.token_to_id("<|endoftext|>"), 0);
  EXPECT_TRUE(tokenizer.is_special(0));
  const std::string text = read(corpus("prose.txt"));
  const auto ids = tokenizer.encode(text);
  EXPECT_EQ(tokenizer.decode(ids), text);
  EXPECT_LT(ids.size(), text.size() / 2);
}

TEST(TokenizerTraining, KnowsThePartsOfPresets) {
  const Json presets = Json::parse_file(corpus("presets.json"));
  for (const auto& [name, expected] : presets.as_object()) {
    const TokenizerParts parts = tokenizer_parts({.preset = name});
    const auto compare = [&, &name = name, &expected = expected](const char* key, const Json& part) {
      const Json* wanted = expected.get(key);
      EXPECT_EQ(part.dump(), wanted == nullptr ? "null" : wanted->dump()) << name << " " << key;
    };
    compare("normalizer", parts.normalizer);
    compare("pre_tokenizer", parts.pre_tokenizer);
    compare("decoder", parts.decoder);
    if (name != "bert") compare("post_processor", parts.post_processor);
  }
  // BERT's template needs the ids of two special tokens; here behind another pre-tokenizer.
  const auto bert = [](std::vector<std::string> specials) {
    const TokenizerTrainingOptions options{
        .trainer = WordPieceTrainerOptions{.special_tokens = std::move(specials), .continuing_subword_prefix = "@@"},
        .preset = "bert",
        .normalizer = "null",
        .pre_tokenizer = R"({"type":"ByteLevel"})"};
    return Json::parse(train_tokenizer({corpus("runs.txt")}, options).json, "trained");
  };
  EXPECT_EQ(bert({"[UNK]", "[SEP]", "[CLS]"}).at("post_processor").dump(),
            presets.at("bert").at("post_processor").dump());
  EXPECT_EQ(bert({"[UNK]", "[SEP]"}).get("post_processor"), nullptr);
  EXPECT_EQ(bert({}).at("decoder").at("prefix").as_string(), "@@");
}

TEST(TokenizerTraining, PutsPartsAroundTheModel) {
  const auto parts = [](const TokenizerTrainingOptions& options) {
    return Json::parse(train_tokenizer({corpus("runs.txt")}, options).json, "trained");
  };
  const Json gpt2 = parts({.preset = "gpt2", .post_processor = R"({"type":"Mine"})", .decoder = "null"});
  EXPECT_EQ(gpt2.at("pre_tokenizer").at("type").as_string(), "ByteLevel");
  EXPECT_EQ(gpt2.get("decoder"), nullptr);
  EXPECT_EQ(gpt2.at("post_processor").dump(), R"({"type":"Mine"})");
  EXPECT_EQ(gpt2.at("model").at("vocab").as_object().size(), 256u + gpt2.at("model").at("merges").as_array().size());
  expect_error(ErrorKind::usage, "whitespace, gpt2, llama, bert", [&] { parts({.preset = "gpt3"}); });
  expect_error(ErrorKind::format, "normalizer", [&] { parts({.normalizer = "{"}); });
  expect_error(ErrorKind::unsupported, "Nonsense", [&] { parts({.pre_tokenizer = R"({"type":"Nonsense"})"}); });
}

TEST(TokenizerTraining, RefusesWhatItCantTrainOn) {
  const TemporaryFolder folder;
  const auto train = [&](const std::vector<std::string>& files, const TokenizerTrainingOptions& options = {}) {
    return train_tokenizer(files, options);
  };
  expect_error(ErrorKind::usage, "files", [&] { train({}); });
  expect_error(ErrorKind::not_found, "absent.txt", [&] { train({corpus("code.txt"), folder.file("absent.txt")}); });
  expect_error(ErrorKind::io, folder.path(), [&] { train({folder.path()}); });
  const std::string invalid = folder.write("invalid.txt", "fine\n" + std::string(100000, 'x') + "\nno\xFF\n");
  expect_error(ErrorKind::format, "invalid.txt", [&] { train({corpus("code.txt"), invalid}); });
  expect_error(ErrorKind::format, "byte 100008", [&] { train({corpus("code.txt"), invalid}); });
  const auto give = [n = 0]() mutable -> std::optional<std::string> { return ++n == 3 ? "ab\xFF" : "abc"; };
  expect_error(ErrorKind::format, "text 2", [&] { train_tokenizer(give); });

  expect_error(ErrorKind::range, "vocab_size",
               [&] { train({corpus("prose.txt")}, {.trainer = UnigramTrainerOptions{.vocab_size = 50}}); });
  for (const double factor : {0.0, 1.0, -1.0, std::nan("")}) {
    expect_error(ErrorKind::usage, "shrinking_factor",
                 [&] { train({corpus("code.txt")}, {.trainer = UnigramTrainerOptions{.shrinking_factor = factor}}); });
  }
  for (const std::size_t length : {0, 1001}) {
    expect_error(ErrorKind::usage, "max_piece_length",
                 [&] { train({corpus("code.txt")}, {.trainer = UnigramTrainerOptions{.max_piece_length = length}}); });
  }
  const std::string longest = folder.write("longest.txt", std::string((1 << 20) + 1, 'x'));
  expect_error(ErrorKind::memory, "1048577", [&] { train({longest}, {.trainer = UnigramTrainerOptions{}}); });
  expect_error(ErrorKind::usage, "special_tokens",
               [&] { train({corpus("code.txt")}, {.trainer = BpeTrainerOptions{.special_tokens = {""}}}); });
  expect_error(ErrorKind::usage, "initial_alphabet",
               [&] { train({corpus("code.txt")}, {.trainer = BpeTrainerOptions{.initial_alphabet = {"\xC3"}}}); });
  expect_error(ErrorKind::io, "absent",
               [&] { train({corpus("code.txt")}).save(folder.file("absent/tokenizer.json")); });
}

TEST(TokenizerTraining, LearnsNothingFromNothing) {
  const TemporaryFolder folder;
  const std::string empty = folder.write("empty.txt", "");
  const std::vector<TrainerOptions> trainers{BpeTrainerOptions{}, UnigramTrainerOptions{}, WordPieceTrainerOptions{},
                                             WordLevelTrainerOptions{}};
  for (const TrainerOptions& trainer : trainers) {
    EXPECT_EQ(train_tokenizer({empty, empty}, {.trainer = trainer}).vocab_size, 0u) << trainer.index();
  }
  expect_error(ErrorKind::numeric, "texts",
               [&] { train_tokenizer({empty}, {.trainer = UnigramTrainerOptions{.initial_alphabet = {"x"}}}); });
}

std::vector<std::string> lines_of(const std::vector<std::string>& files, std::size_t batch_size) {
  FileLines lines(files);
  TextBatch batch;
  std::vector<std::string> texts;
  while (lines.next(batch, batch_size)) texts.insert(texts.end(), batch.texts.begin(), batch.texts.end());
  return texts;
}

TEST(TrainingTexts, GivesLinesWithTheirEndsWhateverTheBatch) {
  const TemporaryFolder folder;
  const std::string longest(300000, 'x');
  const std::vector<std::string> files{
      folder.write("a", "one\ntwo\r\n\nthree"),    folder.write("b", ""),      folder.write("c", "\n"),
      folder.write("d", longest + "\n" + longest), folder.write("e", "end\n"),
  };
  const std::vector<std::string> expected{"one\n", "two\r\n", "\n", "three", "\n", longest + "\n", longest, "end\n"};
  for (const std::size_t size : {1, 100, 70000, 1 << 20}) {
    EXPECT_TRUE(lines_of(files, size) == expected) << "batches of " << size;
  }
}

}  // namespace
}  // namespace powerhouse
