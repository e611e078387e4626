#include "powerhouse/speed.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "powerhouse/error.h"
#include "support/seconds_since.h"

namespace powerhouse {
namespace {

using Clock = std::chrono::steady_clock;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::vector<std::int64_t> some_ids(const CausalLM& model, std::int64_t count) {
  std::vector<std::int64_t> ids;
  ids.reserve(static_cast<std::size_t>(count));  // what is too much fails here, not when memory is full
  for (std::int64_t i = 0; i < count; ++i) ids.push_back((i * 7919 + 13) % model.config().vocab_size);
  return ids;
}

// Before anything of that size is made.
void check_fits(std::int64_t tokens, std::int64_t context, const char* field) {
  if (tokens <= context) return;
  throw Error(ErrorKind::range, "more tokens than the model's context",
              {.field = field, .expected = "at most " + std::to_string(context), .found = std::to_string(tokens)});
}

double time_prompt(const CausalLM& model, const SpeedOptions& options, Speed& speed) {
  Session session(model, {.kv_type = options.kv_type, .value_type = options.value_type});
  const auto ids = some_ids(model, options.prompt_tokens);
  const SequenceId sequence = session.create();
  const auto begin = Clock::now();
  session.forward(sequence, ids);
  const double seconds = seconds_since(begin);
  speed.cache_bytes = std::max(speed.cache_bytes, session.cache_bytes());
  return seconds;
}

double time_new_tokens(const CausalLM& model, const SpeedOptions& options, Speed& speed) {
  Session session(model, {.kv_type = options.kv_type, .value_type = options.value_type});
  std::vector<SequenceInput> batch(static_cast<std::size_t>(options.batch));
  const auto depth = some_ids(model, options.depth);
  for (SequenceInput& input : batch) {
    input.sequence = session.create();
    if (options.depth > 0) session.forward(input.sequence, depth, LogitsOf::none);
  }
  const auto ids = some_ids(model, options.new_tokens);
  const auto begin = Clock::now();
  for (const std::int64_t& id : ids) {
    for (SequenceInput& input : batch) input.ids = std::span(&id, 1);
    session.forward(batch);
  }
  const double seconds = seconds_since(begin);
  speed.cache_bytes = std::max(speed.cache_bytes, session.cache_bytes());
  speed.cache_bytes_per_token = session.cache_bytes_per_token();
  return seconds;
}

}  // namespace

Speed measure_speed(const CausalLM& model, const SpeedOptions& options) {
  const std::int64_t context = longest_sequence(model.config());
  check_fits(options.prompt_tokens, context, "prompt_tokens");
  check_fits(options.depth, context, "depth");
  check_fits(options.new_tokens, context - options.depth, "new_tokens");
  if (options.batch < 1 || options.repetitions < 1) {
    throw Error(ErrorKind::range, "nothing to measure", {.field = "batch, repetitions", .expected = "at least 1"});
  }
  Speed speed;
  std::vector<double> prompt, decode;
  for (std::int64_t i = 0; i <= options.repetitions; ++i) {
    const double prompt_seconds = options.prompt_tokens > 0 ? time_prompt(model, options, speed) : 0;
    const double new_seconds = options.new_tokens > 0 ? time_new_tokens(model, options, speed) : 0;
    if (i == 0) continue;  // the warm-up
    prompt.push_back(prompt_seconds);
    decode.push_back(new_seconds);
  }
  speed.prompt_seconds = median(prompt);
  speed.new_seconds = median(decode);
  const auto rate = [](std::int64_t tokens, double seconds) {
    return seconds > 0 ? static_cast<double>(tokens) / seconds : 0.0;
  };
  speed.prompt_tokens_per_second = rate(options.prompt_tokens, speed.prompt_seconds);
  speed.new_tokens_per_second = rate(options.new_tokens * options.batch, speed.new_seconds);
  return speed;
}

}  // namespace powerhouse
