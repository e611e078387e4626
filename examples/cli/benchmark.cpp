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
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "benchmark_limits.h"
#include "common.h"

namespace cli {
namespace {

using Clock = std::chrono::steady_clock;

struct Flags {
  ModelFlags model;
  std::int64_t prompt_tokens = 512;
  std::int64_t new_tokens = 128;
  std::int64_t depth = 0;
  std::int64_t batch = 1;
  std::int64_t repetitions = 5;
  std::string kv_type = "auto";
  bool no_limits = false;
  bool json = false;
};

constexpr std::int64_t kMostTokens = 1 << 30;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

// Ids without structure: what they are does not matter to the speed.
std::vector<std::int64_t> some_ids(const powerhouse::CausalLM& model, std::int64_t count) {
  std::vector<std::int64_t> ids;
  ids.reserve(static_cast<std::size_t>(count));  // what is too much fails here, not when memory is full
  for (std::int64_t i = 0; i < count; ++i) ids.push_back((i * 7919 + 13) % model.config().vocab_size);
  return ids;
}

struct Measurement {
  double prompt_seconds = 0;
  double new_seconds = 0;
  std::size_t cache_bytes = 0;
  std::size_t cache_bytes_per_token = 0;
};

Measurement measure(const powerhouse::CausalLM& model, const Flags& flags) {
  const powerhouse::SessionOptions options{.kv_type = powerhouse::parse_kv_type(flags.kv_type)};
  Measurement measurement;
  if (flags.prompt_tokens > 0) {
    powerhouse::Session session(model, options);
    const auto ids = some_ids(model, flags.prompt_tokens);
    const auto sequence = session.create();
    const auto begin = Clock::now();
    session.forward(sequence, ids);
    measurement.prompt_seconds = seconds_since(begin);
    measurement.cache_bytes = session.cache_bytes();
  }
  if (flags.new_tokens > 0) {
    powerhouse::Session session(model, options);
    std::vector<powerhouse::SequenceId> sequences;
    const auto depth = some_ids(model, flags.depth);
    for (std::int64_t i = 0; i < flags.batch; ++i) {
      sequences.push_back(session.create());
      if (flags.depth > 0) session.forward(sequences.back(), depth, powerhouse::LogitsOf::none);
    }
    const auto ids = some_ids(model, flags.new_tokens);
    const auto begin = Clock::now();
    for (const std::int64_t& id : ids) {
      std::vector<powerhouse::SequenceInput> batch;
      batch.reserve(sequences.size());
      for (const auto sequence : sequences) batch.push_back({sequence, std::span(&id, 1)});
      session.forward(batch);
    }
    measurement.new_seconds = seconds_since(begin);
    measurement.cache_bytes = std::max(measurement.cache_bytes, session.cache_bytes());
    measurement.cache_bytes_per_token = session.cache_bytes_per_token();
  }
  return measurement;
}

// Before anything of that size is made.
void check_fits(std::int64_t tokens, std::int64_t context, const char* flag) {
  if (tokens <= context) return;
  throw powerhouse::Error(
      powerhouse::ErrorKind::range, "more tokens than the model's context",
      {.field = flag, .expected = "at most " + std::to_string(context), .found = std::to_string(tokens)});
}

// The fields about limits. A fraction of what was not measured is null.
nlohmann::ordered_json limits(const powerhouse::CausalLM& model, const Flags& flags, double prompt_seconds,
                              double new_seconds, std::size_t cache_bytes_per_token) {
  const std::size_t weights = model.memory().read_per_token;
  const double length = static_cast<double>(flags.depth) + static_cast<double>(flags.new_tokens + 1) / 2;
  const double cache =
      static_cast<double>(flags.batch) * cache_bytes_read(model.config(), cache_bytes_per_token, length);
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
  if (new_seconds > 0) {
    const double passes_per_second = static_cast<double>(flags.new_tokens) / new_seconds;
    fields["fraction_of_bandwidth_limit"] = static_cast<double>(bytes) * passes_per_second / bandwidth.model;
  }
  if (prompt_seconds > 0) {
    powerhouse::Session session(model);
    const std::int64_t id = 0;
    const double seconds =
        gemm_seconds(model.config(), flags.prompt_tokens, session.forward(session.create(), std::span(&id, 1)));
    fields["gemm_seconds"] = seconds;
    fields["fraction_of_gemm_limit"] = seconds / prompt_seconds;
  }
  return fields;
}

void run(const Flags& flags) {
  const auto begin = Clock::now();
  const powerhouse::CausalLM model = flags.model.load();
  const double load_seconds = seconds_since(begin);
  const std::int64_t context = powerhouse::longest_sequence(model.config());
  check_fits(flags.prompt_tokens, context, "--prompt-tokens");
  check_fits(flags.depth, context, "--depth");
  check_fits(flags.new_tokens, context - flags.depth, "--new-tokens");
  double first_token_seconds = 0;
  {
    // The first token after loading: a pass over one token, everything cold.
    powerhouse::Session session(model);
    const std::int64_t id = 0;
    session.forward(session.create(), std::span(&id, 1));
    first_token_seconds = seconds_since(begin);
  }
  measure(model, flags);
  std::vector<double> prompt, decode;
  std::size_t cache_bytes = 0, cache_bytes_per_token = 0;
  for (std::int64_t i = 0; i < flags.repetitions; ++i) {
    const Measurement measurement = measure(model, flags);
    prompt.push_back(measurement.prompt_seconds);
    decode.push_back(measurement.new_seconds);
    cache_bytes = measurement.cache_bytes;
    cache_bytes_per_token = measurement.cache_bytes_per_token;
  }
  const auto rate = [](std::int64_t tokens, double seconds) {
    return seconds > 0 ? static_cast<double>(tokens) / seconds : 0.0;
  };
  nlohmann::ordered_json result = {
      {"model", flags.model.model},
      {"dtype", std::string(powerhouse::to_string(model.dtype()))},
      {"numerics", std::string(powerhouse::to_string(model.numerics()))},
      {"prompt_tokens", flags.prompt_tokens},
      {"new_tokens", flags.new_tokens},
      {"depth", flags.depth},
      {"batch", flags.batch},
      {"kv_type", flags.kv_type},
      {"repetitions", flags.repetitions},
      {"prompt_tokens_per_second", rate(flags.prompt_tokens, median(prompt))},
      {"new_tokens_per_second", rate(flags.new_tokens * flags.batch, median(decode))},
      {"load_seconds", load_seconds},
      {"first_token_seconds", first_token_seconds},
      {"peak_memory_bytes", powerhouse::peak_memory_bytes()},
      {"weights_bytes", model.memory().weights},
      {"mapped_bytes", model.memory().mapped},
      {"cache_bytes", cache_bytes},
      {"threads", powerhouse::threads()},
      {"cpu", powerhouse::cpu_name()},
      {"instruction_set", powerhouse::kernel_instruction_set()},
  };
  // Only now, when the peak of memory is read: limits take buffers of their own.
  if (!flags.no_limits) result.update(limits(model, flags, median(prompt), median(decode), cache_bytes_per_token));
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
  command.add_option("--prompt-tokens", flags->prompt_tokens, "tokens of the prefill; 0 leaves it out")
      ->capture_default_str()
      ->transform(integer(0, kMostTokens));
  command.add_option("--new-tokens", flags->new_tokens, "single-token passes; 0 leaves them out")
      ->capture_default_str()
      ->transform(integer(0, kMostTokens));
  command.add_option("--depth", flags->depth, "tokens in the cache before the first pass")
      ->capture_default_str()
      ->transform(integer(0, kMostTokens));
  command.add_option("--batch", flags->batch, "sequences decoded at once")
      ->capture_default_str()
      ->transform(integer(1, 1024));
  add_kv_type(command, flags->kv_type);
  command.add_option("--repetitions", flags->repetitions, "runs after the warm-up")
      ->capture_default_str()
      ->transform(integer(1, 1000));
  command.add_flag("--no-limits", flags->no_limits,
                   "leave out what the machine allows at best (takes 2 GiB of memory)");
  command.add_flag("--json", flags->json, "print as JSON");
  command.callback([flags, &action] { action = [flags] { run(*flags); }; });
}

}  // namespace cli
