#include "generation/option_bounds.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <utility>

#include "generation/stopping.h"
#include "powerhouse/error.h"
#include "support/refuse_usage.h"

namespace powerhouse {
namespace {

constexpr double kLargest = std::numeric_limits<float>::max();

void at_least(const char* field, double found, double low) {
  const std::string expected = low == 0 ? "0 or more" : low == 1 ? "1 or more" : std::to_string(low) + " or more";
  if (!(found >= low && found <= kLargest)) out_of_bounds(field, expected.c_str(), found);
}
void share(const char* field, double found, bool zero, bool one) {
  const bool fits = (zero ? found >= 0 : found > 0) && (one ? found <= 1 : found < 1);
  const char* const expected =
      zero ? (one ? "0 to 1" : "0 or more, below 1") : (one ? "above 0, at most 1" : "0 to 1, neither");
  if (!fits) out_of_bounds(field, expected, found);
}
void finite(const char* field, double found) {
  if (!std::isfinite(found)) out_of_bounds(field, "a finite number", found);
}
void bias(const char* field, double found) {
  if (!(found < kLargest * 1.001)) out_of_bounds(field, "finite, or -infinity", found);
}

void check_rules(const SamplingOptions& sampling) {
  for (const TokenBias& one : sampling.logit_bias) bias("logit_bias", one.bias);
  std::set<std::vector<std::int64_t>> seen;
  for (const SequenceBias& one : sampling.sequence_bias) {
    bias("sequence_bias", one.bias);
    if (one.ids.empty()) throw Error(ErrorKind::usage, "a sequence without tokens", {.field = "sequence_bias"});
    if (!seen.insert(one.ids).second) {
      throw Error(ErrorKind::usage, "a sequence that occurs twice", {.field = "sequence_bias"});
    }
  }
  for (const auto& word : sampling.bad_words_ids) {
    if (word.empty()) throw Error(ErrorKind::usage, "a word without tokens", {.field = "bad_words_ids"});
  }
  at_least("min_length", static_cast<double>(sampling.min_length), 0);
  at_least("min_new_tokens", static_cast<double>(sampling.min_new_tokens), 0);
  if (const auto& decay = sampling.exponential_decay_length_penalty) {
    at_least("exponential_decay_length_penalty", static_cast<double>(decay->start), 0);
    if (!(decay->factor > 0 && decay->factor <= kLargest)) {
      out_of_bounds("exponential_decay_length_penalty", "a factor above 0", decay->factor);
    }
  }
  finite("guidance_scale", sampling.guidance_scale);
  if (sampling.guidance_scale == 1.0f && !sampling.negative_prompt_ids.empty()) {
    throw Error(ErrorKind::usage, "a negative prompt without a guidance_scale", {.field = "negative_prompt_ids"});
  }
}

void check_repetition(const SamplingOptions& sampling) {
  finite("frequency_penalty", sampling.frequency_penalty);
  finite("presence_penalty", sampling.presence_penalty);
  if (sampling.penalty_last_n < -1) {
    out_of_bounds("penalty_last_n", "-1 or more", static_cast<double>(sampling.penalty_last_n));
  }
  at_least("dry_multiplier", sampling.dry_multiplier, 0);
  at_least("dry_base", sampling.dry_base, 1);
  at_least("dry_allowed_length", static_cast<double>(sampling.dry_allowed_length), 0);
  if (sampling.dry_penalty_last_n < -1) {
    out_of_bounds("dry_penalty_last_n", "-1 or more", static_cast<double>(sampling.dry_penalty_last_n));
  }
  for (const std::string& breaker : sampling.dry_sequence_breakers) {
    if (breaker.empty()) throw Error(ErrorKind::usage, "must not be empty", {.field = "dry_sequence_breakers"});
  }
  at_least("no_repeat_ngram_size", static_cast<double>(sampling.no_repeat_ngram_size), 0);
}

void check_mirostat(const GenerationOptions& options) {
  const SamplingOptions& sampling = options.sampling;
  if (sampling.mirostat < 0 || sampling.mirostat > 2) {
    out_of_bounds("mirostat", "0, 1 or 2", static_cast<double>(sampling.mirostat));
  }
  at_least("mirostat_tau", sampling.mirostat_tau, 0);
  at_least("mirostat_eta", sampling.mirostat_eta, 0);
  // In llama.cpp's order truncation has values that nobody asked for, and temperature 0 leaves one token to choose
  // from. Here what is set was asked for, and at temperature 0 nothing is sampled.
  if (sampling.mirostat == 0 || sampling.order != SamplerOrder::hf || !sampling.samplers.empty()) return;
  refuse_usage(options.temperature == 0, "mirostat", "it samples: the temperature must be above 0");
  if (const char* const other = truncation_of(options)) {
    throw Error(ErrorKind::usage, "it takes the place of all truncation", {.field = "mirostat", .found = other});
  }
}

}  // namespace

const char* truncation_of(const GenerationOptions& options) {
  const SamplingOptions& sampling = options.sampling;
  const std::pair<bool, const char*> all[] = {{options.top_k > 0, "top_k"},
                                              {options.top_p < 1, "top_p"},
                                              {options.min_p > 0, "min_p"},
                                              {sampling.typical_p < 1, "typical_p"},
                                              {sampling.epsilon_cutoff > 0, "epsilon_cutoff"},
                                              {sampling.eta_cutoff > 0, "eta_cutoff"},
                                              {sampling.top_h > 0, "top_h"},
                                              {sampling.top_n_sigma > 0, "top_n_sigma"},
                                              {sampling.xtc_probability > 0, "xtc_probability"},
                                              {sampling.dynatemp_range > 0, "dynatemp_range"}};
  for (const auto& [is_set, name] : all) {
    if (is_set) return name;
  }
  return nullptr;
}

void out_of_bounds(const char* field, const char* expected, double found) {
  throw Error(ErrorKind::usage, "option out of bounds",
              {.field = field, .expected = expected, .found = std::to_string(found)});
}

void check_watermark(const WatermarkOptions& options) {
  share("greenlist_ratio", options.greenlist_ratio, false, false);
  finite("bias", options.bias);
  at_least("hashing_key", static_cast<double>(options.hashing_key), 0);
  at_least("context_width", static_cast<double>(options.context_width), 1);
}

void check_sampling(const GenerationOptions& options) {
  const SamplingOptions& sampling = options.sampling;
  at_least("dynatemp_range", sampling.dynatemp_range, 0);
  at_least("dynatemp_exponent", sampling.dynatemp_exponent, 0);
  share("typical_p", sampling.typical_p, false, true);
  share("epsilon_cutoff", sampling.epsilon_cutoff, true, false);
  share("eta_cutoff", sampling.eta_cutoff, true, false);
  share("top_h", sampling.top_h, true, true);
  at_least("top_n_sigma", sampling.top_n_sigma, 0);
  share("xtc_probability", sampling.xtc_probability, true, true);
  share("xtc_threshold", sampling.xtc_threshold, true, true);
  check_mirostat(options);
  check_repetition(sampling);
  check_rules(sampling);
  if (sampling.watermark) check_watermark(*sampling.watermark);
}

void check_options(const GenerationOptions& options) {
  at_least("max_new_tokens", static_cast<double>(options.max_new_tokens), 0);
  at_least("temperature", options.temperature, 0);
  at_least("top_k", static_cast<double>(options.top_k), 0);
  share("top_p", options.top_p, false, true);
  share("min_p", options.min_p, true, true);
  if (!(options.repetition_penalty > 0 && options.repetition_penalty <= kLargest)) {
    out_of_bounds("repetition_penalty", "above 0", options.repetition_penalty);
  }
  for (const std::string& stop : options.stop) {
    if (stop.empty()) throw Error(ErrorKind::usage, "a stop string must not be empty", {.field = "stop"});
  }
  if (!options.stop_regex.empty()) StopFilter({}, options.stop_regex);
  if (options.max_time && !(*options.max_time > 0)) out_of_bounds("max_time", "above 0", *options.max_time);
  if (options.thinking && options.constraint) {
    throw Error(ErrorKind::usage, "a constraint has no room for thoughts", {.field = "thinking"});
  }
  if (options.thinking) {
    at_least("thinking.budget", static_cast<double>(options.thinking->budget), 0);
    for (const std::string& tag : {options.thinking->start, options.thinking->end}) {
      if (tag.empty()) throw Error(ErrorKind::usage, "a tag must not be empty", {.field = "thinking"});
    }
  }
  if (options.top_log_probs) at_least("top_log_probs", static_cast<double>(*options.top_log_probs), 0);
  check_sampling(options);
}

void check_search(const GenerationOptions& options) {
  refuse_usage(options.sampling.guidance_scale != 1.0f, "guidance_scale", "a search has no negative prompt");
  refuse_usage(options.sampling.mirostat != 0, "mirostat",
               "a search looks at several tokens, mirostat learns from one");
  refuse_usage(options.max_time.has_value(), "max_time", "a search has no time of its own");
  refuse_usage(options.thinking.has_value(), "thinking", "a search has no budget for thoughts");
  refuse_usage(options.top_log_probs.has_value(), "top_log_probs",
               "a search has no log-probabilities beside its scores");
}

void check_ids(const GenerationOptions& options, std::int64_t vocab_size) {
  const SamplingOptions& sampling = options.sampling;
  const auto check = [vocab_size](const char* field, std::span<const std::int64_t> ids) {
    for (const std::int64_t id : ids) {
      if (id >= 0 && id < vocab_size) continue;
      throw Error(ErrorKind::range, "not a token of the model's vocabulary",
                  {.field = field, .expected = "0 to " + std::to_string(vocab_size - 1), .found = std::to_string(id)});
    }
  };
  check("stop_token_ids", options.stop_token_ids);
  for (const TokenBias& one : sampling.logit_bias) check("logit_bias", {&one.id, 1});
  for (const SequenceBias& one : sampling.sequence_bias) check("sequence_bias", one.ids);
  for (const auto& word : sampling.bad_words_ids) check("bad_words_ids", word);
  check("suppress_tokens", sampling.suppress_tokens);
  check("begin_suppress_tokens", sampling.begin_suppress_tokens);
  check("forced_eos_token_id", sampling.forced_eos_token_id);
  check("negative_prompt_ids", sampling.negative_prompt_ids);
  if (sampling.forced_bos_token_id) check("forced_bos_token_id", {&*sampling.forced_bos_token_id, 1});
}

}  // namespace powerhouse
