// Which of several models? Size, fidelity to a reference and speed of each on the same text: quantizations of one model
// of any kind, or any models with one vocabulary.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "powerhouse/causal_lm.h"
#include "powerhouse/evaluation.h"
#include "powerhouse/export.h"
#include "powerhouse/speed.h"

namespace powerhouse {

struct ComparisonOptions {
  std::int64_t context = 512;  ///< as in PerplexityOptions
  /// How quality is measured. In exact numerics weights of any type stay as they are and are multiplied by activations
  /// of float32 or 15 bits, so that what differs is the weights' doing.
  LoadOptions load{.numerics = Numerics::exact};
  /// Of the compared models' caches; the reference keeps its own. Where one is named the models run in fast numerics,
  /// a few rows a pass, which are multiplied as exactly.
  KvType kv_type = KvType::automatic;
  std::optional<KvType> value_type{};
  bool measure_speed = true;
  /// As the models run by default, whatever `load` says; prompts of shorter contexts are shorter.
  SpeedOptions speed{.new_tokens = 64, .repetitions = 3};
  /// Called with what is being done: "name: chunk 3 of 20, divergence 0.0123".
  std::function<void(std::string_view)> on_progress{};
};

struct ComparedModel {
  std::string path{};
  std::string name{};  ///< the last part of the path, with what tells it from others of that name
  std::size_t file_bytes = 0;
  std::size_t memory_bytes = 0;  ///< MemoryAccount: weights and mapped, as loaded by default
  std::int64_t parameters = 0;
  double bits_per_weight = 0;
  std::size_t cache_bytes_per_token = 0;
  PerplexityResult perplexity{};
  std::optional<DivergenceResult> divergence{};  ///< from the reference; nothing for the reference itself
  std::optional<Speed> speed{};
};

struct Comparison {
  std::string reference{};  ///< its name
  std::int64_t context = 0;
  std::int64_t chunks = 0;
  std::int64_t tokens = 0;  ///< scored
  std::string kv_type{}, value_type{};
  int threads = 0;
  std::string cpu{};
  std::vector<ComparedModel> models{};  ///< the reference first
};

/// Measures `models` (paths) against `reference`, which is measured too, and listed once where it is one of them and no
/// cache type is named. At most two models are in memory at a time. Error{usage} for no models besides the reference,
/// Error{unsupported} where the tokens of a model's vocabulary are not the reference's, before anything is loaded.
POWERHOUSE_API Comparison compare(const std::string& reference, std::span<const std::string> models,
                                  std::string_view text, const ComparisonOptions& options = {});

/// A table for a terminal.
POWERHOUSE_API std::string to_string(const Comparison& comparison);
POWERHOUSE_API std::string to_json(const Comparison& comparison);
/// A page with the table and the charts of quality over size, which needs nothing else.
POWERHOUSE_API std::string to_html(const Comparison& comparison);
/// The same to a file, atomically. Error{io}.
POWERHOUSE_API void write_html(const Comparison& comparison, const std::string& path);

}  // namespace powerhouse
