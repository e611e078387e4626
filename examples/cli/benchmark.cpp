// powerhouse benchmark: speed of prefill and of decoding, load time and memory.
//
// prompt_tokens_per_second is one prefill with the logits of the last token only; new_tokens_per_second is single-token
// passes from a cache of --depth tokens, sampling excluded. One warm-up, then repetitions; medians are printed.
//
// fraction_of_bandwidth_limit holds decoding against what it must read, weights and the cache halfway through, at the
// speed at which this machine's memory gives a buffer of that size to the same threads (benchmark_limits.h);
// fraction_of_gemm_limit holds the prefill against its matrix products alone.
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "benchmark_limits.h"
#include "common.h"

namespace cli {
namespace {

struct Flags {
  ModelFlags model;
  powerhouse::SpeedOptions speed;
  CacheFlags cache;
  bool no_limits = false;
  bool json = false;
};

constexpr std::int64_t kMostTokens = 1 << 30;

// The fields about limits. A fraction of what was not measured is null.
nlohmann::ordered_json limits(const powerhouse::CausalLM& model, const Flags& flags, const powerhouse::Speed& speed) {
  const std::size_t weights = model.memory().read_per_token;
  const double length = static_cast<double>(flags.speed.depth) + static_cast<double>(flags.speed.new_tokens + 1) / 2;
  const double cache =
      static_cast<double>(flags.speed.batch) * cache_bytes_read(model.config(), speed.cache_bytes_per_token, length);
  const auto bytes = static_cast<std::size_t>(static_cast<double>(weights) + cache);
  const Bandwidth bandwidth = measure_bandwidth(bytes, powerhouse::threads());
  nlohmann::ordered_json fields = {
      {"weight_bytes_read_per_pass", weights},
      {"cache_bytes_read_per_pass", static_cast<std::size_t>(cache)},
      {"memory_bandwidth_bytes_per_second", bandwidth.model},
      {"memory_bandwidth_2gib_bytes_per_second", bandwidth.two_gib},
      {"fraction_of_bandwidth_limit", nullptr},
      {"gemm_seconds", nullptr},
      {"fraction_of_gemm_limit", nullptr},
  };
  if (speed.new_seconds > 0) {
    const double passes_per_second = static_cast<double>(flags.speed.new_tokens) / speed.new_seconds;
    fields["fraction_of_bandwidth_limit"] = static_cast<double>(bytes) * passes_per_second / bandwidth.model;
  }
  if (speed.prompt_seconds > 0) {
    powerhouse::Session session(model);
    const std::int64_t id = 0;
    const double seconds =
        gemm_seconds(model.config(), flags.speed.prompt_tokens, session.forward(session.create(), std::span(&id, 1)));
    fields["gemm_seconds"] = seconds;
    fields["fraction_of_gemm_limit"] = seconds / speed.prompt_seconds;
  }
  return fields;
}

void run(const Flags& flags) {
  const auto begin = Clock::now();
  const powerhouse::CausalLM model = flags.model.load();
  const double load_seconds = seconds_since(begin);
  double first_token_seconds = 0;
  {
    // The first token after loading: a pass over one token, everything cold.
    powerhouse::Session session(model);
    const std::int64_t id = 0;
    session.forward(session.create(), std::span(&id, 1));
    first_token_seconds = seconds_since(begin);
  }
  powerhouse::SpeedOptions options = flags.speed;
  options.kv_type = flags.cache.session().kv_type;
  options.value_type = flags.cache.session().value_type;
  const powerhouse::Speed speed = powerhouse::measure_speed(model, options);
  nlohmann::ordered_json result = {
      {"model", flags.model.model},
      {"dtype", std::string(powerhouse::to_string(model.dtype()))},
      {"numerics", std::string(powerhouse::to_string(model.numerics()))},
      {"prompt_tokens", flags.speed.prompt_tokens},
      {"new_tokens", flags.speed.new_tokens},
      {"depth", flags.speed.depth},
      {"batch", flags.speed.batch},
      {"kv_type", std::string(powerhouse::to_string(options.kv_type))},
      {"value_type", std::string(powerhouse::to_string(options.value_type.value_or(options.kv_type)))},
      {"repetitions", flags.speed.repetitions},
      {"prompt_tokens_per_second", speed.prompt_tokens_per_second},
      {"new_tokens_per_second", speed.new_tokens_per_second},
      {"load_seconds", load_seconds},
      {"first_token_seconds", first_token_seconds},
      {"peak_memory_bytes", powerhouse::peak_memory_bytes()},
      {"weights_bytes", model.memory().weights},
      {"mapped_bytes", model.memory().mapped},
      {"cache_bytes", speed.cache_bytes},
      {"threads", powerhouse::threads()},
      {"cpu", powerhouse::cpu_name()},
      {"instruction_set", powerhouse::kernel_instruction_set()},
  };
  // Only now, when the peak of memory is read: limits take buffers of their own.
  if (!flags.no_limits) result.update(limits(model, flags, speed));
  if (flags.json) {
    write_out(result.dump(2) + "\n");
    return;
  }
  for (const auto& [key, value] : result.items()) {
    write_out(key + ": " + (value.is_string() ? value.get<std::string>() : value.dump()) + "\n");
  }
}

}  // namespace

void add_benchmark(CLI::App& app, Action& action) {
  auto flags = std::make_shared<Flags>();
  CLI::App& command = *app.add_subcommand("benchmark", "speed, load time and memory");
  flags->model.add(command, "auto");
  command.add_option("--prompt-tokens", flags->speed.prompt_tokens, "tokens of the prefill; 0 leaves it out")
      ->capture_default_str()
      ->transform(integer(0, kMostTokens));
  command.add_option("--new-tokens", flags->speed.new_tokens, "single-token passes; 0 leaves them out")
      ->capture_default_str()
      ->transform(integer(0, kMostTokens));
  command.add_option("--depth", flags->speed.depth, "tokens in the cache before the first pass")
      ->capture_default_str()
      ->transform(integer(0, kMostTokens));
  command.add_option("--batch", flags->speed.batch, "sequences decoded at once")
      ->capture_default_str()
      ->transform(integer(1, 1024));
  flags->cache.add(command);
  command.add_option("--repetitions", flags->speed.repetitions, "runs after the warm-up")
      ->capture_default_str()
      ->transform(integer(1, 1000));
  command.add_flag("--no-limits", flags->no_limits,
                   "leave out what the machine allows at best (takes 2 GiB of memory)");
  command.add_flag("--json", flags->json, "print as JSON");
  command.callback([flags, &action] { action = [flags] { run(*flags); }; });
}

}  // namespace cli
