#include "text/tokenizer_tiktoken.h"

#include <charconv>
#include <filesystem>
#include <limits>
#include <span>

#include "powerhouse/error.h"
#include "support/mapped_file.h"
#include "text/byte_level.h"
#include "text/charsmap.h"
#include "text/normal_forms.h"
#include "text/splitter_o200k.h"
#include "text/splitters.h"

namespace powerhouse {
namespace {

enum class TiktokenCut { gpt2, cl100k, llama3, qwen, o200k };

void cut_text(TiktokenCut cut, std::string_view text, PieceSink sink) {
  switch (cut) {
    case TiktokenCut::gpt2: return split_gpt2(text, sink);
    case TiktokenCut::cl100k: return split_cl100k(text, {.max_numbers = 3, .whole_trailing_spaces = true}, sink);
    case TiktokenCut::llama3: return split_cl100k(text, {.max_numbers = 3}, sink);
    case TiktokenCut::qwen: return split_cl100k(text, {.max_numbers = 1}, sink);
    case TiktokenCut::o200k: return split_o200k(text, {}, sink);
  }
}

class CutStep final : public PreTokenizerStep {
 public:
  explicit CutStep(TiktokenCut cut) : cut_(cut) {}
  void split(std::string_view text, PieceSink sink) const override { cut_text(cut_, text, sink); }

 private:
  TiktokenCut cut_;
};

// Special tokens: one, or (`count` > 0) so many whose names take the place of the "#" by numbers.
struct Special {
  std::string_view name;
  std::int64_t id;  // after the ranks where Scheme::follows
  std::int64_t count = 0;
  std::int64_t first_number = 0;
};

constexpr Special kR50k[] = {{"<|endoftext|>", 50256}};
constexpr Special kP50kEdit[] = {
    {"<|endoftext|>", 50256}, {"<|fim_prefix|>", 50281}, {"<|fim_middle|>", 50282}, {"<|fim_suffix|>", 50283}};
constexpr Special kCl100k[] = {{"<|endoftext|>", 100257},
                               {"<|fim_prefix|>", 100258},
                               {"<|fim_middle|>", 100259},
                               {"<|fim_suffix|>", 100260},
                               {"<|endofprompt|>", 100276}};
constexpr Special kO200k[] = {{"<|endoftext|>", 199999}, {"<|endofprompt|>", 200018}};
// tiktoken gives 200018 two names; the first one is the one that it decodes to.
constexpr Special kHarmony[] = {{"<|startoftext|>", 199998},
                                {"<|endoftext|>", 199999},
                                {"<|reserved_#|>", 200000, 2, 200000},
                                {"<|return|>", 200002},
                                {"<|constrain|>", 200003},
                                {"<|reserved_200004|>", 200004},
                                {"<|channel|>", 200005},
                                {"<|start|>", 200006},
                                {"<|end|>", 200007},
                                {"<|message|>", 200008},
                                {"<|reserved_#|>", 200009, 3, 200009},
                                {"<|call|>", 200012},
                                {"<|reserved_#|>", 200013, 5, 200013},
                                {"<|endofprompt|>", 200018},
                                {"<|reserved_#|>", 200018, 1070, 200018}};
constexpr Special kLlama3Specials[] = {{"<|begin_of_text|>", 0},
                                       {"<|end_of_text|>", 1},
                                       {"<|reserved_special_token_#|>", 2, 4, 0},
                                       {"<|start_header_id|>", 6},
                                       {"<|end_header_id|>", 7},
                                       {"<|reserved_special_token_#|>", 8, 1, 4},
                                       {"<|eot_id|>", 9},
                                       {"<|reserved_special_token_#|>", 10, 246, 5}};
constexpr Special kQwen[] = {{"<|endoftext|>", 0}, {"<|im_start|>", 1}, {"<|im_end|>", 2}, {"<|extra_#|>", 3, 205, 0}};

struct Scheme {
  std::string_view name;
  TiktokenCut cut;
  std::span<const Special> specials;
  std::string_view eos = "<|endoftext|>";
  std::string_view bos{};
  bool follows = false;   // special tokens follow the ranks, whatever their number
  bool composes = false;  // NFC first
};

constexpr Scheme kEncodings[] = {
    {"gpt2", TiktokenCut::gpt2, kR50k},
    {"r50k_base", TiktokenCut::gpt2, kR50k},
    {"p50k_base", TiktokenCut::gpt2, kR50k},
    {"p50k_edit", TiktokenCut::gpt2, kP50kEdit},
    {"cl100k_base", TiktokenCut::cl100k, kCl100k},
    {"o200k_base", TiktokenCut::o200k, kO200k},
    {"o200k_harmony", TiktokenCut::o200k, kHarmony, "<|return|>"},
    // Llama 3's tokenizer.model.
    {"tokenizer", TiktokenCut::llama3, kLlama3Specials, "<|end_of_text|>", "<|begin_of_text|>", true},
    {"qwen", TiktokenCut::qwen, kQwen, "<|endoftext|>", {}, true, true},
};

const Scheme& find_encoding(const std::string& path) {
  const std::string stem = std::filesystem::path(path).stem().string();
  std::string known;
  for (const Scheme& encoding : kEncodings) {
    if (encoding.name == stem) return encoding;
    known.append(known.empty() ? "" : ", ").append(encoding.name);
  }
  throw Error(ErrorKind::unsupported, "a file of ranks is named by its encoding, and this is none that is known",
              {.expected = "one of " + known, .found = stem});
}

[[noreturn]] void refuse_line(std::string_view line) {
  throw Error(ErrorKind::format, "not a line of ranks",
              {.expected = "base64, a blank, a number", .found = std::string(line.substr(0, 80))});
}

// Calls `visit(bytes of the token, rank)` for each line.
template <typename Visit>
void each_rank(std::string_view text, Visit visit) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    const std::size_t blank = line.find(' ');
    if (blank == 0 || blank == std::string_view::npos) refuse_line(line);
    std::int32_t rank = -1;
    const auto [stop, error] = std::from_chars(line.data() + blank + 1, line.data() + line.size(), rank);
    if (error != std::errc() || stop != line.data() + line.size() || rank < 0) refuse_line(line);
    visit(decode_base64(line.substr(0, blank), "token"), rank);
  }
}

void load_ranks(std::string_view text, Vocabulary& out) {
  std::vector<std::pair<std::string, std::int32_t>> ranks;
  std::size_t bytes = 0;
  each_rank(text, [&](const std::string& token, std::int32_t rank) {
    if (token.empty()) throw Error(ErrorKind::format, "a token without bytes", {.found = std::to_string(rank)});
    std::string spelled;
    append_byte_level(spelled, token);
    bytes += spelled.size();
    ranks.emplace_back(std::move(spelled), rank);
  });
  out.reserve(ranks.size(), bytes);
  for (const auto& [token, rank] : ranks) out.add(token, rank);
  for (unsigned byte = 0; byte < 256; ++byte) {
    std::string character;
    const char value = static_cast<char>(byte);
    append_byte_level(character, {&value, 1});
    if (!out.find(character)) {
      throw Error(ErrorKind::format, "a byte has no rank",
                  {.expected = "all 256", .found = std::to_string(byte) + " has none"});
    }
  }
}

void add_specials(Tokenizer::Impl& out, const Scheme& encoding) {
  const auto shift = encoding.follows ? static_cast<std::int64_t>(out.vocabulary.size()) : 0;
  const auto add = [&](std::string name, std::int64_t id) {
    if (out.vocabulary.contains(id)) {
      throw Error(ErrorKind::format, "a special token of the encoding has the id of a rank",
                  {.expected = name, .found = std::to_string(id)});
    }
    out.added_end = std::max(out.added_end, static_cast<std::size_t>(id) + 1);
    out.added.add({.content = std::move(name), .id = id, .special = true});
  };
  for (const Special& special : encoding.specials) {
    if (special.count == 0) add(std::string(special.name), special.id + shift);
    for (std::int64_t i = 0; i < special.count; ++i) {
      std::string name(special.name);
      name.replace(name.find('#'), 1, std::to_string(special.first_number + i));
      add(std::move(name), special.id + i + shift);
    }
  }
}

}  // namespace

bool is_tiktoken(const std::string& path) {
  const auto file = MappedFile::open(path);
  const std::string_view line = file->text().substr(0, std::min<std::size_t>(file->text().find('\n'), 1024));
  try {
    each_rank(line, [](const std::string&, std::int32_t) {});
  } catch (const Error&) {
    return false;
  }
  return !line.empty();
}

std::string find_tiktoken(const std::string& folder) {
  for (const Scheme& encoding : kEncodings) {
    const std::filesystem::path path = std::filesystem::path(folder) / (std::string(encoding.name) + ".tiktoken");
    if (std::error_code ignored; std::filesystem::exists(path, ignored)) return path.string();
  }
  return {};
}

std::shared_ptr<Tokenizer::Impl> load_tiktoken(const std::string& path) {
  try {
    const Scheme& encoding = find_encoding(path);
    auto out = std::make_shared<Tokenizer::Impl>();
    load_ranks(MappedFile::open(path)->text(), out->vocabulary);
    add_specials(*out, encoding);
    if (encoding.composes) out->normalizer.append(std::make_unique<NormalFormStep>(NormalizationForm::nfc));
    out->pre_tokenizer.append(std::unique_ptr<const PreTokenizerStep>(std::make_unique<CutStep>(encoding.cut)));
    out->pre_tokenizer.append_byte_level(false, false);
    out->pre_tokenizer.finish(false);
    const auto role = [&](const char* name, std::string_view text) -> std::optional<std::int64_t> {
      if (text.empty()) return std::nullopt;
      out->special_names.emplace_back(name, std::string(text));
      return out->find(text);
    };
    out->bos = role("bos_token", encoding.bos);
    out->eos = role("eos_token", encoding.eos);
    out->model.emplace<RankBpe>(out->vocabulary);
    return out;
  } catch (const Error& error) {
    throw error.in_file(path);
  }
}

std::shared_ptr<const Tokenizer::Impl> tokenizer_from_tiktoken(const std::string& path) {
  auto tokenizer = load_tiktoken(path);
  tokenizer->added.finish(tokenizer->normalizer);
  tokenizer->add_end_of_generation(tokenizer->eos);
  return tokenizer;
}

}  // namespace powerhouse
