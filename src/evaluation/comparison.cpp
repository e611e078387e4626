#include "powerhouse/comparison.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <map>

#include "evaluation/chunk_divergence.h"
#include "evaluation/text_chunks.h"
#include "powerhouse/error.h"
#include "powerhouse/inspect.h"
#include "powerhouse/log.h"
#include "text/same_vocabulary.h"

namespace powerhouse {
namespace {

// Rows of a pass that are multiplied as when decoding (docs/numerics.md), and attend one by one.
constexpr std::int64_t kFewRows = 4;

bool names_cache(const ComparisonOptions& options) {
  return options.kv_type != KvType::automatic || options.value_type.value_or(KvType::automatic) != KvType::automatic;
}

std::string last_part(const std::string& path) {
  const std::filesystem::path whole(path);
  const std::string name = (whole.has_filename() ? whole : whole.parent_path()).filename().string();
  return name.empty() ? path : name;
}

// Where two have one name, their paths; where they are one path (with other caches), numbers.
void name(std::vector<ComparedModel>& models) {
  std::map<std::string, int> counts;
  for (ComparedModel& model : models) ++counts[model.name = last_part(model.path)];
  for (ComparedModel& model : models) {
    if (counts[model.name] > 1) model.name = model.path;
  }
  std::map<std::string, int> seen;
  for (ComparedModel& model : models) {
    const int number = ++seen[model.name];
    if (number > 1) model.name += " (" + std::to_string(number) + ")";
  }
}

std::vector<ComparedModel> listed(const std::string& reference, std::span<const std::string> paths, bool again) {
  std::vector<ComparedModel> models{{.path = reference}};
  for (const std::string& path : paths) {
    if (again || path != reference) models.push_back({.path = path});
  }
  if (models.size() < 2) {
    throw Error(ErrorKind::usage, "nothing to compare",
                {.field = "models", .expected = "a model besides the reference", .found = reference});
  }
  name(models);
  return models;
}

// Tokenizers first: what can't be compared is said before anything is loaded.
Tokenizer check_tokens(const std::vector<ComparedModel>& models, std::string_view text) {
  const Tokenizer reference = Tokenizer::from_pretrained(models.front().path);
  const auto ids = reference.encode(text);
  for (const ComparedModel& model : std::span(models).subspan(1)) {
    const Tokenizer tokenizer = Tokenizer::from_pretrained(model.path);
    check_same_vocabulary(reference, tokenizer, model.path);
    if (tokenizer.encode(text) == ids) continue;
    log(LogLevel::warning, model.path + ": its tokenizer cuts this text otherwise; it is measured on the tokens of " +
                               models.front().path);
  }
  return reference;
}

// Returns the longest sequence that the model takes.
std::int64_t measure_size(ComparedModel& model) {
  const ModelReport report = inspect(model.path);
  model.file_bytes = report.file_bytes;
  model.parameters = report.parameters;
  // A GGUF file holds a tokenizer beside its tensors; codes of a folder may take more bytes here than in the file.
  const std::size_t bytes = std::min(report.bytes, report.file_bytes);
  model.bits_per_weight =
      report.parameters > 0 ? 8 * static_cast<double>(bytes) / static_cast<double>(report.parameters) : 0;
  return longest_sequence(report.config);
}

// As the model runs by default: what it takes in memory, and how fast it is.
void measure_run(ComparedModel& model, const ComparisonOptions& options, const SessionOptions& session) {
  const CausalLM loaded = CausalLM::from_pretrained(model.path, {.device = options.load.device});
  const MemoryAccount memory = loaded.memory();
  model.memory_bytes = memory.weights + memory.mapped;
  model.cache_bytes_per_token = Session(loaded, session).cache_bytes_per_token();
  if (!options.measure_speed) return;
  SpeedOptions speed = options.speed;
  const std::int64_t context = longest_sequence(loaded.config());
  speed.prompt_tokens = std::min(speed.prompt_tokens, context);
  speed.new_tokens = std::min(speed.new_tokens, context - speed.depth);
  speed.kv_type = session.kv_type;
  speed.value_type = session.value_type;
  model.speed = measure_speed(loaded, speed);
}

void measure_quality(std::vector<ComparedModel>& models, const TextChunks& chunks, const ComparisonOptions& options) {
  LoadOptions load = options.load;
  SessionOptions reference_session, session;
  if (names_cache(options)) {
    load.numerics = Numerics::fast;
    session = {.kv_type = options.kv_type, .value_type = options.value_type, .prefill_chunk = kFewRows};
    reference_session = {.kv_type = KvType::f32, .prefill_chunk = kFewRows};
  }
  const CausalLM reference = CausalLM::from_pretrained(models.front().path, load);
  for (ComparedModel& model : std::span(models).subspan(1)) {
    const bool same = model.path == models.front().path;
    const CausalLM candidate = same ? reference.share() : CausalLM::from_pretrained(model.path, load);
    model.divergence =
        chunk_divergence(reference, reference_session, candidate, session, chunks,
                         [&](std::int64_t done, std::int64_t all, double mean) {
                           if (!options.on_progress) return;
                           char text[96];
                           std::snprintf(text, sizeof text, ": chunk %lld of %lld, divergence %.4g",
                                         static_cast<long long>(done), static_cast<long long>(all), mean);
                           options.on_progress(model.name + text);
                         });
    model.perplexity = model.divergence->model;
    models.front().perplexity = model.divergence->reference;
  }
}

std::string cache_name(KvType type) { return std::string(to_string(type)); }

}  // namespace

Comparison compare(const std::string& reference, std::span<const std::string> models, std::string_view text,
                   const ComparisonOptions& options) {
  const bool caches = names_cache(options);
  Comparison comparison{.context = options.context,
                        .kv_type = cache_name(options.kv_type),
                        .value_type = cache_name(options.value_type.value_or(options.kv_type)),
                        .threads = threads(),
                        .cpu = cpu_name(),
                        .models = listed(reference, models, caches)};
  comparison.reference = comparison.models.front().name;
  const Tokenizer tokenizer = check_tokens(comparison.models, text);
  std::int64_t longest = std::numeric_limits<std::int64_t>::max();
  for (ComparedModel& model : comparison.models) longest = std::min(longest, measure_size(model));
  const TextChunks chunks(tokenizer, text, options.context, longest);
  for (ComparedModel& model : comparison.models) {
    if (options.on_progress) options.on_progress(model.name + ": size and speed");
    const bool is_reference = &model == comparison.models.data();
    measure_run(
        model, options,
        is_reference ? SessionOptions{} : SessionOptions{.kv_type = options.kv_type, .value_type = options.value_type});
  }
  measure_quality(comparison.models, chunks, options);
  comparison.chunks = chunks.size();
  comparison.tokens = comparison.models.front().perplexity.tokens;
  return comparison;
}

}  // namespace powerhouse
