// How fast a model reads a prompt and writes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "powerhouse/causal_lm.h"
#include "powerhouse/export.h"
#include "powerhouse/session.h"

namespace powerhouse {

struct SpeedOptions {
  std::int64_t prompt_tokens = 512;  ///< of one prefill with the logits of its last token; 0 leaves it out
  std::int64_t new_tokens = 128;     ///< passes of single tokens, sampling excluded; 0 leaves them out
  std::int64_t depth = 0;            ///< tokens in the cache before the first of them
  std::int64_t batch = 1;            ///< sequences decoded at once
  std::int64_t repetitions = 5;      ///< after a warm-up
  KvType kv_type = KvType::automatic;
  std::optional<KvType> value_type{};
};

struct Speed {
  double prompt_seconds = 0;  ///< medians
  double new_seconds = 0;     ///< of all new tokens
  double prompt_tokens_per_second = 0;
  double new_tokens_per_second = 0;  ///< of all sequences together
  std::size_t cache_bytes = 0;
  std::size_t cache_bytes_per_token = 0;
};

/// Times passes over ids without structure: which they are does not matter. Error{range} beyond the model's context.
POWERHOUSE_API Speed measure_speed(const CausalLM& model, const SpeedOptions& options = {});

}  // namespace powerhouse
