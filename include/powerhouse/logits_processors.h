// Logits processors, each a small value that is a LogitsProcessor: what GenerationOptions runs by its fields, for use
// in any other order, or without a model.
//
//     powerhouse::processors::TypicalP{.p = 0.9f}(row, {});
//
// sampling.h has bounds and sources; values outside them are not checked here. Softmax is over what earlier processors
// left; at least one token stays.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "powerhouse/export.h"
#include "powerhouse/logits_processor.h"
#include "powerhouse/sampling.h"
#include "powerhouse/tokenizer.h"

namespace powerhouse::processors {

#define POWERHOUSE_PROCESSOR(qualifier) \
  POWERHOUSE_API void operator()(std::span<float> logits, const LogitsContext& context) qualifier

/// Of equal tokens at a cut, those that stay: all (transformers), or the lowest ids as far as there is room
/// (llama.cpp).
enum class Ties { keep, cut };

struct Temperature {
  float temperature = 1.0f;  ///< 0 leaves the best alone
  POWERHOUSE_PROCESSOR(const);
};
/// The temperature is low + (high - low) * (entropy / log(candidates))^exponent, low and high `range` beside it.
struct DynamicTemperature {
  float temperature = 1.0f, range = 0.0f, exponent = 1.0f;
  std::int64_t candidates = 0;  ///< 0: the tokens that are not forbidden
  POWERHOUSE_PROCESSOR(const);
};
struct TopK {
  std::int64_t k = 0;
  Ties ties = Ties::keep;
  POWERHOUSE_PROCESSOR(const);
};
struct TopP {
  float p = 1.0f;
  POWERHOUSE_PROCESSOR(const);
};
struct MinP {
  float p = 0.0f;
  POWERHOUSE_PROCESSOR(const);
};
struct TypicalP {
  float p = 1.0f;
  Ties ties = Ties::keep;
  POWERHOUSE_PROCESSOR(const);
};
struct EpsilonCutoff {
  float epsilon = 0.0f;
  POWERHOUSE_PROCESSOR(const);
};
struct EtaCutoff {
  float epsilon = 0.0f;
  POWERHOUSE_PROCESSOR(const);
};
struct TopH {
  float top_h = 1.0f;
  POWERHOUSE_PROCESSOR(const);
};
struct TopNSigma {
  float n = 0.0f;
  POWERHOUSE_PROCESSOR(const);
};
/// Drawn by context.seed and the token's place.
struct Xtc {
  float probability = 0.0f, threshold = 0.1f;
  POWERHOUSE_PROCESSOR(const);
};
/// Learns from the token that was chosen from what it left, at its next call.
class Mirostat {
 public:
  Mirostat(std::int64_t version, float tau, float eta) : version_(version), tau_(tau), eta_(eta), mu_(2 * tau) {}
  POWERHOUSE_PROCESSOR();
  float mu() const { return mu_; }

 private:
  void learn(std::int64_t id);

  std::int64_t version_;
  float tau_, eta_, mu_;
  std::vector<std::int64_t> ids_{};  // what it left at the last call
  std::vector<float> logits_{};
};

/// Repetition penalty, then frequency and presence.
struct Penalties {
  float repetition = 1.0f, frequency = 0.0f, presence = 0.0f;
  std::int64_t last_n = -1;
  POWERHOUSE_PROCESSOR(const);
};
/// Texts that repetitions do not reach across, as tokens. Costs a look at the whole vocabulary.
class POWERHOUSE_API DryBreakers {
 public:
  DryBreakers(const Tokenizer& tokenizer, std::span<const std::string> texts);
  struct Impl;
  const Impl& impl() const { return *impl_; }

 private:
  std::shared_ptr<const Impl> impl_;
};
struct Dry {
  float multiplier = 0.0f, base = 1.75f;
  std::int64_t allowed_length = 2, last_n = 64;
  std::optional<DryBreakers> breakers{};
  POWERHOUSE_PROCESSOR(const);
};
struct NoRepeatNgram {
  std::int64_t size = 0;
  POWERHOUSE_PROCESSOR(const);
};

struct LogitBias {
  std::vector<TokenBias> biases{};
  POWERHOUSE_PROCESSOR(const);
};
/// Bad words too: their bias is -infinity.
struct SequenceBiases {
  std::vector<SequenceBias> biases{};
  POWERHOUSE_PROCESSOR(const);
};
/// Forbids `ids` while the text is shorter than `length`, prompt included, or has fewer new tokens.
struct MinLength {
  std::int64_t length = 0, new_tokens = 0;
  std::vector<std::int64_t> ids{};
  POWERHOUSE_PROCESSOR(const);
};
struct SuppressTokens {
  std::vector<std::int64_t> ids{};
  POWERHOUSE_PROCESSOR(const);
};
/// For the first new token; for the second where the first is `forced`.
struct SuppressAtBegin {
  std::vector<std::int64_t> ids{};
  bool forced = false;
  POWERHOUSE_PROCESSOR(const);
};
/// Behind a text of one token.
struct ForcedBos {
  std::int64_t id = 0;
  POWERHOUSE_PROCESSOR(const);
};
/// As the last of `limit` new tokens.
struct ForcedEos {
  std::int64_t limit = 0;
  std::vector<std::int64_t> ids{};
  POWERHOUSE_PROCESSOR(const);
};
/// Adds |logit| * (factor^n - 1) to `ids` n tokens behind the start.
struct ExponentialDecay {
  LengthDecay decay{};
  std::vector<std::int64_t> ids{};
  POWERHOUSE_PROCESSOR(const);
};
struct Watermark {
  WatermarkOptions options{};
  POWERHOUSE_PROCESSOR(const);
};

#undef POWERHOUSE_PROCESSOR

/// Classifier-free guidance of one row by another: log-probabilities that may exceed 0. A token that either forbids is
/// forbidden.
POWERHOUSE_API void guide(std::span<float> logits, std::span<const float> negative, float scale);

}  // namespace powerhouse::processors
