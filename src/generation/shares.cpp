#include "generation/shares.h"

#include <algorithm>
#include <cmath>

#include "generation/row_statistics.h"
#include "generation/sampler.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "text/same_vocabulary.h"
#include "text/tokenizer_impl.h"

namespace powerhouse {
namespace {

// One more than the last id that stands for a token. Files of GGUF name each row: those without one "[PAD<id>]".
std::int64_t token_count(const Tokenizer& tokenizer) {
  auto count = static_cast<std::int64_t>(tokenizer.vocab_size());
  const auto is_padding = [&](std::int64_t id) {
    return !tokenizer.impl().contains(id) || tokenizer.impl().text(id) == "[PAD" + std::to_string(id) + "]";
  };
  while (count > 0 && is_padding(count - 1)) --count;
  return count;
}

}  // namespace

std::vector<double> shares_of(std::span<const float> logits) {
  const double best = logits[static_cast<std::size_t>(greedy_token(logits))];
  std::vector<double> shares(logits.size());
  double total = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) total += shares[i] = std::exp(logits[i] - best);
  for (double& share : shares) share /= total;
  return shares;
}

std::int64_t draw_share(std::span<const double> shares, double number) {
  double total = 0;
  for (const double share : shares) total += share;
  const double target = number * total;
  double sum = 0;
  std::size_t last = 0;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    if (shares[i] == 0) continue;
    sum += shares[i];
    last = i;
    if (sum > target) break;
  }
  return static_cast<std::int64_t>(last);
}

std::int64_t draw_instead(std::span<const double> wanted, std::span<const double> drafted, double number) {
  std::vector<double> rest(wanted.size());
  double total = 0;
  for (std::size_t i = 0; i < rest.size(); ++i) total += rest[i] = std::max(wanted[i] - drafted[i], 0.0);
  // Equal distributions reject nothing but by their last bits.
  return draw_share(total > 0 ? std::span<const double>(rest) : wanted, number);
}

void require_same_vocabulary(const ModelConfig& config, const Tokenizer& tokenizer, const ModelConfig& other_config,
                             const Tokenizer& other_tokenizer, const std::string& other) {
  check_same_vocabulary(tokenizer, other_tokenizer, other);
  if (config.vocab_size == other_config.vocab_size) return;
  const std::int64_t tokens = std::max(token_count(tokenizer), token_count(other_tokenizer));
  if (std::min(config.vocab_size, other_config.vocab_size) >= tokens) return;
  throw Error(ErrorKind::unsupported, "the models have vocabularies of different sizes",
              {.file = other,
               .field = "vocabulary",
               .expected = std::to_string(config.vocab_size),
               .found = std::to_string(other_config.vocab_size)});
}

at::Tensor fit_logits(const at::Tensor& logits, std::int64_t size) {
  const std::int64_t shared = std::min(logits.size(-1), size);
  if (shared == size) return logits.narrow(-1, 0, size).contiguous();
  at::Tensor fitted = empty_tensor({logits.size(0), size}, at::kFloat).fill_(kForbidden);
  fitted.narrow(-1, 0, shared).copy_(logits);
  return fitted;
}

}  // namespace powerhouse
