#include "calibration/importance_collector.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "calibration/calibration_data.h"
#include "calibration/layerwise.h"
#include "formats/checkpoint.h"
#include "model/api_guard.h"
#include "powerhouse/error.h"
#include "powerhouse/log.h"
#include "support/seconds_since.h"
#include "text/leading_bos.h"

namespace powerhouse {
namespace {

constexpr std::int64_t kSquaredRowsAtOnce = 4096;  // of squares, which are a copy of the inputs

// One entry of the matrix: sums over tokens, for each expert.
struct Sums {
  std::int64_t columns = 0;
  std::vector<double> squares{};       // [experts, columns]
  std::vector<std::int64_t> counts{};  // [experts]
};

// Where an input's squares go: into which entries, as which of their experts.
struct Target {
  std::vector<std::pair<Sums*, std::int64_t>> places{};
};

class Collector {
 public:
  Collector(const Model& model, std::set<std::string> names) : names_(std::move(names)) {
    for (const ParameterSpec& spec : model.weights.specs()) {
      if (!spec.is_bias && spec.layer >= 0 && spec.shape.size() > 1) add(spec);
    }
  }

  void see(std::int64_t layer, Role role, std::int64_t expert, const at::Tensor& x) {
    const auto target = targets_.find({layer, role, std::max<std::int64_t>(expert, 0)});
    if (target == targets_.end() || x.size(0) == 0) return;
    if (!last_.defined() || !x.is_same(last_)) {
      last_ = x;
      sum_squares(x);
    }
    for (const auto& [sums, place] : target->second.places) {
      double* const to = sums->squares.data() + place * sums->columns;
      for (std::int64_t i = 0; i < sums->columns; ++i) to[i] += squares_[static_cast<std::size_t>(i)];
      sums->counts[static_cast<std::size_t>(place)] += x.size(0);
    }
  }

  // The next input may lie where the last one lay.
  void forget() { last_.reset(); }

  ImportanceMatrix matrix() const {
    ImportanceMatrix out;
    for (const auto& [name, sums] : entries_) {
      const bool seen = std::any_of(sums.counts.begin(), sums.counts.end(), [](auto count) { return count > 0; });
      if (!seen) continue;
      ImportanceEntry entry{.weight = name};
      entry.sums.assign(sums.squares.begin(), sums.squares.end());
      entry.counts.assign(sums.counts.begin(), sums.counts.end());
      out.entries.push_back(std::move(entry));
    }
    return out;
  }

 private:
  using Key = std::tuple<std::int64_t, Role, std::int64_t>;

  // The spelling that the file has, else the one that is written.
  const Assembly* spelling(const ParameterSpec& spec) const {
    for (const Assembly& assembly : spec.gguf) {
      const bool there = std::all_of(assembly.names.begin(), assembly.names.end(),
                                     [&](const std::string& name) { return names_.contains(name); });
      if (there) return &assembly;
    }
    return spec.gguf.empty() ? nullptr : &spec.gguf.front();
  }

  void add(const ParameterSpec& spec) {
    const Assembly* const assembly = spelling(spec);
    if (assembly == nullptr) return;
    const std::int64_t columns = spec.shape[spec.shape.size() - (spec.transposed ? 2 : 1)];
    const std::int64_t experts = spec.shape.size() > 2 ? spec.shape.front() : 1;
    const auto names = static_cast<std::int64_t>(assembly->names.size());
    const bool apart = experts > 1 && assembly->shape.size() == 2;  // a tensor an expert
    for (std::int64_t i = 0; i < names; ++i) {
      Sums& sums = entries_[assembly->names[static_cast<std::size_t>(i)]];
      const std::int64_t own = apart ? 1 : experts;
      sums.columns = columns;
      sums.squares.resize(static_cast<std::size_t>(own * columns));
      sums.counts.resize(static_cast<std::size_t>(own));
      for (std::int64_t expert = 0; expert < experts; ++expert) {
        if (apart && i / (names / experts) != expert) continue;
        targets_[{spec.layer, spec.role, expert}].places.emplace_back(&sums, apart ? 0 : expert);
      }
    }
  }

  void sum_squares(const at::Tensor& x) {
    const at::Tensor rows = x.flatten(0, -2);
    squares_.assign(static_cast<std::size_t>(rows.size(1)), 0.0);
    for (std::int64_t row = 0; row < rows.size(0); row += kSquaredRowsAtOnce) {
      const at::Tensor part = rows.narrow(0, row, std::min(kSquaredRowsAtOnce, rows.size(0) - row)).to(at::kFloat);
      const at::Tensor sums = part.mul(part).sum(0).to(at::kDouble).contiguous();
      const auto* values = sums.const_data_ptr<double>();
      for (std::size_t i = 0; i < squares_.size(); ++i) squares_[i] += values[i];
    }
  }

  std::set<std::string> names_;
  std::map<std::string, Sums> entries_{};  // whose addresses stay
  std::map<Key, Target> targets_{};
  at::Tensor last_{};
  std::vector<double> squares_{};
};

std::set<std::string> names_of(const std::string& path) {
  std::set<std::string> names;
  if (checkpoint_kind(path) != CheckpointKind::gguf) return names;
  for (const TensorView& view : open_checkpoint(path).tensors) names.insert(view.name);
  return names;
}

// Sequences of one turn: what their states take is half of the memory at most.
std::size_t at_once(const Model& model, const TokenSequences& sequences, std::uint64_t memory) {
  const std::size_t bytes =
      sequences.front().size() * static_cast<std::size_t>(model.config.hidden_size) * sizeof(float);
  return std::clamp<std::size_t>(memory / 2 / bytes, 1, sequences.size());
}

void check_finite(const ImportanceMatrix& matrix) {
  for (const ImportanceEntry& entry : matrix.entries) {
    for (const float sum : entry.sums) {
      if (std::isfinite(sum)) continue;
      throw Error(ErrorKind::numeric, "activations are not finite",
                  {.field = entry.weight, .expected = "finite inputs"});
    }
  }
}

void run(Model& model, const TokenSequences& sequences, const ImportanceOptions& options, Collector& collector) {
  const std::uint64_t memory = options.memory_bytes > 0 ? options.memory_bytes : kCalibrationMemory;
  const std::size_t together = at_once(model, sequences, memory);
  const std::size_t turns = (sequences.size() + together - 1) / together;
  const auto layers = static_cast<std::int64_t>(model.config.layers.size());
  std::size_t steps = 0;
  for (std::size_t turn = 0; turn < turns; ++turn) {
    const auto begin = sequences.begin() + static_cast<std::ptrdiff_t>(turn * sequences.size() / turns);
    const auto end = sequences.begin() + static_cast<std::ptrdiff_t>((turn + 1) * sequences.size() / turns);
    LayerwiseRun pass(model, {.sequences = {begin, end}}, memory, 0);
    pass.embed();
    for (std::int64_t layer = 0; layer < layers; ++layer) {
      if (options.cancel.stop_requested()) throw Error(ErrorKind::cancelled, "collecting importance was cancelled");
      const DenseLayer dense(model.weights, layer);
      pass.advance(layer, [&](std::int64_t own, Role role, std::int64_t expert, const at::Tensor& x) {
        collector.see(own, role, expert, x);
      });
      collector.forget();
      ++steps;
      if (options.on_progress) {
        options.on_progress(static_cast<double>(steps) / static_cast<double>(turns * static_cast<std::size_t>(layers)));
      }
    }
  }
}

std::vector<ExpertCoverage> coverage_of(const ImportanceMatrix& matrix) {
  std::vector<ExpertCoverage> rows;
  for (const ImportanceEntry& entry : matrix.entries) {
    if (entry.counts.size() < 2) continue;
    rows.push_back({.weight = entry.weight,
                    .experts = static_cast<std::int64_t>(entry.counts.size()),
                    .unseen = entry.unseen_experts(),
                    .least = static_cast<std::int64_t>(*std::min_element(entry.counts.begin(), entry.counts.end()))});
  }
  return rows;
}

}  // namespace

TokenSequences importance_chunks(const std::string& model, const std::string& text, const ImportanceOptions& options) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(model);
  const std::vector<std::int64_t> ids = tokenizer.encode(text);
  const std::int64_t length = options.context_length;
  if (length < 2) {
    throw Error(ErrorKind::range, "no such length of chunks",
                {.field = "context_length", .expected = "at least 2", .found = std::to_string(length)});
  }
  if (static_cast<std::int64_t>(ids.size()) < 2 * length) {
    throw Error(ErrorKind::range, "the text is too short",
                {.field = "text",
                 .expected = "at least " + std::to_string(2 * length) + " tokens",
                 .found = std::to_string(ids.size())});
  }
  check_apart(tokenizer, ids, options.evaluation_text, "text");
  const std::int64_t all = static_cast<std::int64_t>(ids.size()) / length;
  const std::int64_t count = options.chunks > 0 ? std::min(options.chunks, all) : all;
  const std::optional<std::int64_t> bos = leading_bos(tokenizer);
  TokenSequences sequences;
  for (std::int64_t i = 0; i < count; ++i) {
    sequences.emplace_back(ids.begin() + i * length, ids.begin() + (i + 1) * length);
    if (bos) sequences.back().front() = *bos;
  }
  return sequences;
}

ImportanceMatrix importance_of_text(const std::string& path, const TokenSequences& sequences,
                                    const ImportanceOptions& options) {
  const std::unique_ptr<Model> model = open_layerwise(path);
  check_length(model->config, static_cast<std::int64_t>(sequences.front().size()), 0);
  for (const auto& sequence : sequences) check_ids(model->config, sequence);
  Collector collector(*model, names_of(path));
  run(*model, sequences, options, collector);
  ImportanceMatrix matrix = collector.matrix();
  check_finite(matrix);
  matrix.chunk_count = static_cast<std::int64_t>(sequences.size());
  matrix.chunk_size = static_cast<std::int64_t>(sequences.front().size());
  if (!options.dataset.empty()) matrix.datasets = {options.dataset};
  return matrix;
}

ImportanceReport collect_importance(const std::string& model, const std::string& text, const std::string& output,
                                    const ImportanceOptions& options) {
  return guarded([&] {
    const auto start = std::chrono::steady_clock::now();
    const TokenSequences sequences = importance_chunks(model, text, options);
    const ImportanceMatrix matrix = importance_of_text(model, sequences, options);
    write_importance(output, matrix);
    ImportanceReport report{.chunks = matrix.chunk_count,
                            .tokens = matrix.chunk_count * matrix.chunk_size,
                            .weights = static_cast<std::int64_t>(matrix.entries.size()),
                            .coverage = coverage_of(matrix)};
    report.seconds = seconds_since(start);
    return report;
  });
}

}  // namespace powerhouse
