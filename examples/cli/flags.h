// Flags that several subcommands share, and the bounds of their values: what is out of them is bad usage, said before
// any file is opened.
#pragma once

#include <powerhouse/powerhouse.h>
#include <CLI/CLI.hpp>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace cli {

constexpr float kLargest = std::numeric_limits<float>::max();

/// A decimal integer from `low` to `high`; CLI11 alone would take "010" for 8 and cut 2^64 to what fits.
CLI::Validator integer(std::int64_t low, std::int64_t high = std::numeric_limits<std::int64_t>::max());
/// A finite number from `low` to `high`, or above `low` where `open`.
CLI::Validator number(float low, float high, bool open = false);
/// Any text but "".
CLI::Validator not_empty();
/// Adds --device.
void add_device(CLI::App& command, std::string& device);

/// One of the compute types, "auto" among them.
CLI::Validator dtype_name();

/// --model, --threads, --device, --dtype, --numerics. Every command takes them; those that load no weights need the
/// model alone.
struct ModelFlags {
  std::string model;
  int threads = 0;
  std::string device = "cpu";
  std::string dtype;
  std::string numerics = "fast";
  std::string adapter;

  /// Adds the flags; `default_dtype` is the command's.
  void add(CLI::App& command, std::string_view default_dtype = "auto");
  /// All but --model, which binds to `model` as the command sees fit.
  void add_all_but_model(CLI::App& command, std::string_view default_dtype = "auto");
  /// Adds --adapter.
  void add_adapter(CLI::App& command);
  powerhouse::LoadOptions load_options() const;
  /// With the adapter, where one is named.
  powerhouse::CausalLM load() const;
};

/// --kv-type, --cache-type-k, --cache-type-v: how the cache keeps keys and values.
struct CacheFlags {
  std::string both = "auto";
  std::string keys, values;  ///< empty: as `both`

  void add(CLI::App& command);
  bool named() const;
  powerhouse::SessionOptions session() const;
};
/// --context: tokens a chunk of text that is scored.
void add_context(CLI::App& command, std::int64_t& context);
/// --prompt-cache FILE.
void add_prompt_cache(CLI::App& command, std::string& path);

/// How a text is generated: --max-new-tokens to --seed, and those of sampling_flags.h.
struct GenerationFlags {
  powerhouse::GenerationOptions options;
  std::string negative_prompt;

  void add(CLI::App& command);
  /// The options, with what has to be encoded.
  powerhouse::GenerationOptions with(const powerhouse::Tokenizer& tokenizer) const;
};

}  // namespace cli
