// The watermark of Kirchenbauer et al. ("A Watermark for Large Language Models", 2023; "On the Reliability of
// Watermarks", 2023): a part of the vocabulary, chosen by what was written before, is made more likely, and a text with
// too many tokens of those parts was written so. Numbers are those of transformers' WatermarkLogitsProcessor: either
// finds what the other wrote.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "powerhouse/export.h"

namespace powerhouse {

enum class WatermarkSeeding {
  lefthash,  ///< the part depends on the token before
  selfhash,  ///< on the token itself as well: harder to learn from texts, slower (of the 40 most likely tokens)
};
/// "lefthash", "selfhash".
POWERHOUSE_API std::string_view to_string(WatermarkSeeding scheme) noexcept;
/// The same words. Error{usage} otherwise.
POWERHOUSE_API WatermarkSeeding parse_watermark_seeding(std::string_view text);

/// Names and defaults are those of transformers' WatermarkingConfig.
struct WatermarkOptions {
  double greenlist_ratio = 0.25;        ///< that part of the vocabulary; between 0 and 1
  float bias = 2.0f;                    ///< added to its logits, behind everything else; finite
  std::int64_t hashing_key = 15485863;  ///< the secret; not negative
  WatermarkSeeding seeding_scheme = WatermarkSeeding::lefthash;
  std::int64_t context_width = 1;  ///< tokens that selfhash looks at, lefthash waits for; 1 or more

  bool operator==(const WatermarkOptions&) const = default;
};

struct WatermarkReport {
  std::int64_t tokens_scored = 0;
  std::int64_t green_tokens = 0;
  double green_fraction = 0;
  double z_score = 0;  ///< standard deviations of green tokens above what chance gives
  double p_value = 0;  ///< the probability of that many or more by chance
};

/// Whether `ids` (without prompt) carry the watermark: a z_score above 3 is transformers' measure. `vocab_size` is the
/// model's, logits a row. With `ignore_repeated_ngrams` what occurs again counts once. A leading `bos_token_id` is left
/// out. Error{usage} for options out of bounds, or too few ids.
POWERHOUSE_API WatermarkReport detect_watermark(std::span<const std::int64_t> ids, std::int64_t vocab_size,
                                                const WatermarkOptions& options = {},
                                                bool ignore_repeated_ngrams = false,
                                                std::optional<std::int64_t> bos_token_id = {});

}  // namespace powerhouse
