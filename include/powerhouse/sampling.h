// How a token is chosen from its logits, beyond temperature, top_k, top_p and min_p: what GenerationOptions::sampling
// holds. docs/decoding.md has the formulas. Everything is off by default.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "powerhouse/export.h"
#include "powerhouse/watermark.h"

namespace powerhouse {

/// The order of what works on probabilities. Rules about tokens (bias, bans, lengths) and the user's own processors
/// come before it, in transformers' order.
enum class SamplerOrder {
  hf,         ///< transformers': penalties, dry | temperature, top_n_sigma, top_h, top_k, top_p, min_p, typical_p,
              ///< epsilon_cutoff, eta_cutoff, xtc. At temperature 0 only what stands before the bar runs.
  llama_cpp,  ///< llama.cpp's: penalties, dry, top_n_sigma, top_k, typical_p, top_p, min_p, xtc, temperature; then
              ///< those that it has not. Ties at a cut are cut. At temperature 0 all run, and the best of the rest is
              ///< taken.
};
/// "hf", "llama.cpp".
POWERHOUSE_API std::string_view to_string(SamplerOrder order) noexcept;
/// The same words. Error{usage} otherwise.
POWERHOUSE_API SamplerOrder parse_sampler_order(std::string_view text);

struct TokenBias {
  std::int64_t id = 0;
  float bias = 0.0f;  ///< finite, or -infinity
  bool operator==(const TokenBias&) const = default;
};
struct SequenceBias {
  std::vector<std::int64_t> ids{};  ///< the bias is the last one's, where the text ends in those before it
  float bias = 0.0f;                ///< finite, or -infinity
  bool operator==(const SequenceBias&) const = default;
};
struct LengthDecay {
  std::int64_t start = 0;  ///< new tokens before it begins; not negative
  float factor = 1.0f;     ///< above 0
  bool operator==(const LengthDecay&) const = default;
};

/// Names, meanings and defaults are transformers' (GenerationConfig), or llama.cpp's for what only it has (its command
/// line). Ids must be of the model's vocabulary: Error{range} otherwise.
struct SamplingOptions {
  SamplerOrder order = SamplerOrder::hf;
  /// A free order, in place of `order` and after the same rules: names of llama.cpp's --samplers (penalties, dry,
  /// top_n_sigma, top_k, typ_p, top_p, min_p, xtc, temperature), and top_h, epsilon_cutoff, eta_cutoff. What is not
  /// named does not run. Ties and temperature 0 are as in llama_cpp.
  std::vector<std::string> samplers{};

  // Truncation and temperature.
  float dynatemp_range = 0.0f;  ///< temperature +- range by entropy (llama.cpp); >= 0, 0 is off
  float dynatemp_exponent = 1.0f;
  float typical_p = 1.0f;        ///< keep what is closest to the entropy (Meister et al. 2022); in (0, 1], 1 is off
  float epsilon_cutoff = 0.0f;   ///< drop tokens less probable (Hewitt et al. 2022); in [0, 1), 0 is off
  float eta_cutoff = 0.0f;       ///< drop those below min(e, sqrt(e) exp(-entropy)) (the same); in [0, 1), 0 is off
  float top_h = 0.0f;            ///< of the best 100, keep this share of the entropy (2025); in [0, 1], 0 is off
  float top_n_sigma = 0.0f;      ///< keep logits within n deviations of the best (Tang et al. 2024); >= 0, 0 is off
  float xtc_probability = 0.0f;  ///< how often all but the least of the tokens above the threshold are dropped; [0, 1]
  float xtc_threshold = 0.1f;    ///< in [0, 1]; above 0.5 it is off (llama.cpp)
  /// 1 or 2: Mirostat (Basu et al. 2021) in place of all truncation, and in llama_cpp and a free order of penalties
  /// too. In hf it wants a temperature above 0; in the others 0 leaves it the best token alone.
  std::int64_t mirostat = 0;
  float mirostat_tau = 5.0f;  ///< the surprise that is held, in bits; >= 0
  float mirostat_eta = 0.1f;  ///< how fast; >= 0

  // Against repetition. With repetition_penalty:
  float frequency_penalty = 0.0f;    ///< subtracted for each occurrence; finite
  float presence_penalty = 0.0f;     ///< subtracted once; finite
  std::int64_t penalty_last_n = -1;  ///< tokens that penalties look back; -1 is all, prompt included; llama.cpp has 64
  float dry_multiplier = 0.0f;       ///< DRY: multiplier * base^(length - allowed) for what prolongs a repetition; >= 0
  float dry_base = 1.75f;            ///< >= 1
  std::int64_t dry_allowed_length = 2;
  std::int64_t dry_penalty_last_n = 64;                                  ///< -1 is all, 0 is off
  std::vector<std::string> dry_sequence_breakers{"\n", ":", "\"", "*"};  ///< repetitions do not reach across
  std::int64_t no_repeat_ngram_size = 0;                                 ///< no n tokens occur twice; 0 is off

  // Rules about tokens.
  std::vector<TokenBias> logit_bias{};
  std::vector<SequenceBias> sequence_bias{};                      ///< no sequence twice
  std::vector<std::vector<std::int64_t>> bad_words_ids{};         ///< never; one that is EOS alone is no rule
  std::vector<std::int64_t> suppress_tokens{};                    ///< never
  std::vector<std::int64_t> begin_suppress_tokens{};              ///< not as the first new token
  std::int64_t min_length = 0;                                    ///< no EOS before, prompt included
  std::int64_t min_new_tokens = 0;                                ///< no EOS before
  std::optional<std::int64_t> forced_bos_token_id{};              ///< what follows a prompt of one token
  std::vector<std::int64_t> forced_eos_token_id{};                ///< one of these is the last of max_new_tokens
  std::optional<LengthDecay> exponential_decay_length_penalty{};  ///< EOS gets likelier token by token

  // Classifier-free guidance (Sanchez et al. 2023): scale * (log p - log q) + log q, where q sees the negative prompt.
  float guidance_scale = 1.0f;                      ///< finite, 1 is off; above, away from the negative prompt
  std::vector<std::int64_t> negative_prompt_ids{};  ///< empty: the prompt's last token

  std::optional<WatermarkOptions> watermark{};

  bool operator==(const SamplingOptions&) const = default;
};

}  // namespace powerhouse
