// The model of tokenizer.json with its vocabulary and merges, which are most of the file and read straight from the
// text.
#include <algorithm>
#include <optional>

#include "powerhouse/error.h"
#include "text/json_scanner.h"
#include "text/tokenizer_impl.h"
#include "text/tokenizer_json.h"

namespace powerhouse {
namespace {

struct Span {
  std::size_t start = 0;
  std::size_t size = 0;
};

// Where model.vocab (an object, or an array of pairs) and model.merges (if an array) stand.
struct Bulk {
  std::optional<Span> vocab, merges;
};

Bulk find_bulk(std::string_view text, std::string_view origin) {
  JsonScanner scanner(text, origin);
  std::string storage;
  // Calls `visit` with each key of the object that comes next; `visit` takes the value.
  const auto members = [&](auto visit) {
    scanner.expect('{');
    if (scanner.take('}')) return;
    do {
      const std::string key(scanner.string(storage));
      scanner.expect(':');
      visit(key);
    } while (scanner.take(','));
    scanner.expect('}');
  };
  const auto skip = [&] {
    scanner.peek();
    const std::size_t start = scanner.position();
    scanner.skip_value();
    return Span{start, scanner.position() - start};
  };
  Bulk bulk;
  members([&](const std::string& key) {
    if (key != "model" || scanner.peek() != '{') {
      skip();
      return;
    }
    bulk = {};
    members([&](const std::string& model_key) {
      const char first = scanner.peek();
      const Span span = skip();
      if (model_key == "vocab" && (first == '{' || first == '[')) bulk.vocab = span;
      if (model_key == "merges" && first == '[') bulk.merges = span;
    });
  });
  return bulk;
}

// The whole document without the bulk.
Json parse_rest(std::string_view text, std::string_view origin, const Bulk& bulk) {
  std::vector<Span> spans;
  if (bulk.vocab) spans.push_back(*bulk.vocab);
  if (bulk.merges) spans.push_back(*bulk.merges);
  std::sort(spans.begin(), spans.end(), [](const Span& a, const Span& b) { return a.start < b.start; });
  std::string rest;
  std::size_t done = 0;
  for (const Span& span : spans) {
    rest.append(text.substr(done, span.start - done)).append("null");
    done = span.start + span.size;
  }
  rest.append(text.substr(done));
  return Json::parse(rest, origin);
}

std::size_t count_quotes(std::string_view text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '"'));
}

// The file's text and what is known of it, for the loaders of models.
struct Source {
  Tokenizer::Impl& tokenizer;
  const Json& model;
  std::string_view text;
  std::string_view origin;
  const Bulk& bulk;

  JsonScanner scanner(const Span& span) const { return {text.substr(span.start, span.size), origin, span.start}; }
  std::string_view part(const Span& span) const { return text.substr(span.start, span.size); }
  const Span& vocab(char opening) const {
    if (!bulk.vocab || text[bulk.vocab->start] != opening) {
      throw Error(ErrorKind::format, "a model without its table",
                  {.field = "model.vocab", .expected = opening == '{' ? "an object" : "an array"});
    }
    return *bulk.vocab;
  }
};

// {"token": id, ...}
void read_vocabulary(const Source& source) {
  const Span& span = source.vocab('{');
  Vocabulary& vocabulary = source.tokenizer.vocabulary;
  vocabulary.reserve(count_quotes(source.part(span)) / 2, span.size);
  JsonScanner scanner = source.scanner(span);
  std::string storage;
  scanner.expect('{');
  if (scanner.take('}')) return;
  do {
    const std::string_view token = scanner.string(storage);
    scanner.expect(':');
    vocabulary.add(token, scanner.integer());
  } while (scanner.take(','));
  scanner.expect('}');
}

// [["token", score], ...], the ids in their order
std::vector<double> read_scores(const Source& source) {
  const Span& span = source.vocab('[');
  Vocabulary& vocabulary = source.tokenizer.vocabulary;
  vocabulary.reserve(count_quotes(source.part(span)) / 2, span.size);
  JsonScanner scanner = source.scanner(span);
  std::string storage;
  std::vector<double> scores;
  scanner.expect('[');
  if (scanner.take(']')) return scores;
  do {
    scanner.expect('[');
    vocabulary.add(scanner.string(storage), static_cast<std::int64_t>(scores.size()));
    scanner.expect(',');
    scores.push_back(scanner.number());
    scanner.expect(']');
  } while (scanner.take(','));
  scanner.expect(']');
  return scores;
}

// Merges of a model with a continuing prefix: the second half loses it in the token that the two make.
class PrefixedMerges {
 public:
  PrefixedMerges(const Vocabulary& vocabulary, std::size_t prefix) : vocabulary_(vocabulary), prefix_(prefix) {}

  void add(std::string_view left, std::string_view right) {
    if (right.size() < prefix_) refuse("the second half of a merge is shorter than the prefix", right);
    const std::int32_t halves[] = {find(left), find(right)};
    const std::string joined = std::string(left).append(right.substr(prefix_));
    table_.add(halves[0], halves[1], {next_rank_++, find(joined)}, true);
  }
  void add(std::string_view pair) {
    const std::size_t blank = pair.find(' ');
    if (blank == std::string_view::npos) refuse("a merge is no pair", pair);
    add(pair.substr(0, blank), pair.substr(blank + 1));
  }
  MergeTable take() { return std::move(table_); }

 private:
  std::int32_t find(std::string_view token) const {
    const auto id = vocabulary_.find(token);
    if (!id) refuse("a merge names or makes a token that the vocabulary lacks", token);
    return *id;
  }
  [[noreturn]] void refuse(std::string_view message, std::string_view found) const {
    throw Error(
        ErrorKind::format, message,
        {.field = "model.merges[" + std::to_string(next_rank_) + "]", .found = std::string(found.substr(0, 60))});
  }

  const Vocabulary& vocabulary_;
  std::size_t prefix_;
  MergeTable table_;
  std::int32_t next_rank_ = 0;
};

// ["left right", ...] or [["left", "right"], ...]
template <typename Loader>
MergeTable read_merges(const Source& source, Loader loader) {
  JsonScanner scanner = source.scanner(*source.bulk.merges);
  std::string left_storage;
  std::string right_storage;
  scanner.expect('[');
  if (scanner.take(']')) return loader.take();
  do {
    if (scanner.take('[')) {
      const std::string_view left = scanner.string(left_storage);
      scanner.expect(',');
      const std::string_view right = scanner.string(right_storage);
      scanner.expect(']');
      loader.add(left, right);
    } else {
      loader.add(scanner.string(left_storage));
    }
  } while (scanner.take(','));
  scanner.expect(']');
  return loader.take();
}

MergeTable read_merges(const Source& source, const BpeOptions& options) {
  const Vocabulary& vocabulary = source.tokenizer.vocabulary;
  const std::size_t prefix = options.continuing_subword_prefix.size();
  if (prefix > 0) return read_merges(source, PrefixedMerges(vocabulary, prefix));
  const std::size_t strings = count_quotes(source.part(*source.bulk.merges)) / 2;
  return read_merges(source, MergeLoader(vocabulary, strings, MergeLoader::Repeated::last_wins));
}

void load_bpe(const Source& source) {
  const Json& model = source.model;
  if (model.double_or("dropout", 0) != 0) refuse_component("model.dropout", model.at("dropout").dump(), "null");
  if (!source.bulk.merges) {
    throw Error(ErrorKind::format, "a BPE model without its table", {.field = "model.merges", .expected = "an array"});
  }
  read_vocabulary(source);
  Tokenizer::Impl& tokenizer = source.tokenizer;
  BpeOptions options{.unk_id = {},
                     .fuse_unk = model.bool_or("fuse_unk", false),
                     .byte_fallback = model.bool_or("byte_fallback", false),
                     .ignore_merges = model.bool_or("ignore_merges", false),
                     .continuing_subword_prefix = model.string_or("continuing_subword_prefix", ""),
                     .end_of_word_suffix = model.string_or("end_of_word_suffix", "")};
  if (const Json* unknown = model.get("unk_token")) {
    const std::string& token = unknown->as_string("model.unk_token");
    options.unk_id = tokenizer.vocabulary.find(token);
    if (!options.unk_id) {
      throw Error(ErrorKind::format, "the vocabulary lacks the unknown token",
                  {.field = "model.unk_token", .found = token});
    }
    tokenizer.unk = options.unk_id;
  }
  MergeTable merges = read_merges(source, options);
  tokenizer.model.emplace<Bpe>(tokenizer.vocabulary, std::move(merges), std::move(options));
}

void load_unigram(const Source& source) {
  std::vector<double> scores = read_scores(source);
  UnigramOptions options{.unk_id = {}, .byte_fallback = source.model.bool_or("byte_fallback", false)};
  Tokenizer::Impl& tokenizer = source.tokenizer;
  if (const Json* unknown = source.model.get("unk_id")) {
    const std::int64_t id = unknown->as_integer("model.unk_id");
    if (!tokenizer.vocabulary.contains(id)) {
      throw Error(ErrorKind::format, "the unknown token lies beyond the vocabulary",
                  {.field = "model.unk_id", .found = std::to_string(id)});
    }
    options.unk_id = static_cast<std::int32_t>(id);
    tokenizer.unk = id;
  }
  tokenizer.model.emplace<Unigram>(tokenizer.vocabulary, std::move(scores), std::move(options));
}

void load_word_piece(const Source& source) {
  read_vocabulary(source);
  const std::int64_t limit = source.model.integer_or("max_input_chars_per_word", 100);
  if (limit < 0) {
    throw Error(ErrorKind::format, "a negative length",
                {.field = "model.max_input_chars_per_word", .found = std::to_string(limit)});
  }
  Tokenizer::Impl& tokenizer = source.tokenizer;
  const WordPieceOptions options{.unk_token = source.model.string_or("unk_token", "[UNK]"),
                                 .continuing_subword_prefix = source.model.string_or("continuing_subword_prefix", "##"),
                                 .max_input_chars_per_word = static_cast<std::size_t>(limit)};
  tokenizer.unk = tokenizer.model.emplace<WordPiece>(tokenizer.vocabulary, options).unk_id();
}

void load_word_level(const Source& source) {
  read_vocabulary(source);
  Tokenizer::Impl& tokenizer = source.tokenizer;
  tokenizer.unk =
      tokenizer.model.emplace<WordLevel>(tokenizer.vocabulary, source.model.string_or("unk_token", "<unk>")).unk_id();
}

// Files older than the type: by what the model holds, in the package's own order.
std::string guess_type(const Json& model, const Bulk& bulk, std::string_view text) {
  if (bulk.merges) return "BPE";
  if (bulk.vocab && text[bulk.vocab->start] == '[') return "Unigram";
  return model.get("continuing_subword_prefix") != nullptr ? "WordPiece" : "WordLevel";
}

}  // namespace

Json load_model(Tokenizer::Impl& tokenizer, std::string_view text, std::string_view origin) {
  const Bulk bulk = find_bulk(text, origin);
  Json rest = parse_rest(text, origin, bulk);
  const Json& model = rest.at("model");
  const Source source{tokenizer, model, text, origin, bulk};
  const std::string type =
      model.get("type") != nullptr ? model.at("type").as_string("model.type") : guess_type(model, bulk, text);
  if (type == "BPE") {
    load_bpe(source);
  } else if (type == "Unigram") {
    load_unigram(source);
  } else if (type == "WordPiece") {
    load_word_piece(source);
  } else if (type == "WordLevel") {
    load_word_level(source);
  } else {
    refuse_component("model", type, "BPE, Unigram, WordLevel, WordPiece");
  }
  return rest;
}

}  // namespace powerhouse
