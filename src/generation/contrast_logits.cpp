// The formulas: two or more rows of logits become one.
#include <ATen/core/Tensor.h>
#include <ATen/ops/xlogy_ops.h>

#include <algorithm>
#include <cmath>

#include "generation/contrast_checks.h"
#include "generation/option_bounds.h"
#include "generation/row_statistics.h"
#include "ops/vocabulary.h"
#include "powerhouse/contrast.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

void check_rows(std::size_t a, std::size_t b) {
  if (a == b && a > 0) return;
  throw Error(ErrorKind::usage, "rows over different vocabularies",
              {.field = "logits", .expected = std::to_string(a), .found = std::to_string(b)});
}

}  // namespace

void check(const ContextAwareOptions& options) {
  if (!std::isfinite(options.alpha) || options.alpha < 0) out_of_bounds("alpha", "0 or more", options.alpha);
}

void check(const ContrastiveDecodingOptions& options) {
  if (!(options.alpha > 0 && options.alpha <= 1)) out_of_bounds("alpha", "above 0, at most 1", options.alpha);
  if (!std::isfinite(options.tau) || options.tau < 0) out_of_bounds("tau", "0 or more", options.tau);
  if (!std::isfinite(options.amateur_temperature) || options.amateur_temperature <= 0) {
    out_of_bounds("amateur_temperature", "above 0", options.amateur_temperature);
  }
}

void check(const DolaOptions& options) {
  if (options.layers.empty()) {
    throw Error(ErrorKind::usage, "there is no layer to contrast with", {.field = "layers", .expected = "1 or more"});
  }
  if (!(options.relative_top > 0 && options.relative_top <= 1)) {
    out_of_bounds("relative_top", "above 0, at most 1", options.relative_top);
  }
}

void context_aware_logits(std::span<float> with_context, std::span<const float> without,
                          const ContextAwareOptions& options) {
  check(options);
  check_rows(with_context.size(), without.size());
  const float alpha = options.alpha;
  for (std::size_t i = 0; i < with_context.size(); ++i) {
    with_context[i] = (1 + alpha) * with_context[i] - alpha * without[i];
  }
}

void contrastive_logits(std::span<float> expert, std::span<const float> amateur,
                        const ContrastiveDecodingOptions& options) {
  check(options);
  check_rows(expert.size(), amateur.size());
  std::vector<float> scaled(amateur.begin(), amateur.end());
  for (float& logit : scaled) logit /= options.amateur_temperature;
  const float bound = *std::max_element(expert.begin(), expert.end()) + std::log(options.alpha);
  const float expert_sum = ops::log_sum_exp(expert), amateur_sum = ops::log_sum_exp(scaled);
  for (std::size_t i = 0; i < expert.size(); ++i) {
    expert[i] = expert[i] < bound ? kForbidden : expert[i] - expert_sum - options.tau * (scaled[i] - amateur_sum);
  }
}

std::vector<std::int64_t> dola_layers(const ModelConfig& config, std::string_view half) {
  const auto layers = static_cast<std::int64_t>(config.layers.size());
  const auto every_second = [](std::int64_t begin, std::int64_t end) {
    std::vector<std::int64_t> found;
    for (std::int64_t i = begin; i < end; i += 2) found.push_back(i);
    return found;
  };
  if (half == "high") return every_second(layers <= 40 ? layers / 2 : layers - 20, layers);
  if (half != "low") {
    throw Error(ErrorKind::usage, "no half of the layers",
                {.field = "layers", .expected = "low or high", .found = std::string(half)});
  }
  // A tied head on bare embeddings gives the input token back.
  const std::int64_t first = !config.tie_word_embeddings ? 0 : layers > 2 ? 2 : layers == 2 ? 1 : 0;
  if (first == layers / 2) return {first};
  return every_second(first, layers <= 40 ? layers / 2 : 20);
}

at::Tensor dola_logits(const at::Tensor& rows, const DolaOptions& options, std::int64_t* premature,
                       std::span<const std::uint64_t> allowed) {
  check(options);
  if (rows.dim() != 2 || rows.size(0) < 2) {
    throw Error(ErrorKind::usage, "rows of early layers and of the last one",
                {.field = "rows", .expected = "2 or more"});
  }
  const std::int64_t early = rows.size(0) - 1;
  const at::Tensor logs = rows.log_softmax(-1);
  const at::Tensor last = logs.select(0, early);
  std::int64_t farthest = 0;
  if (early > 1) {
    const at::Tensor before = logs.narrow(0, 0, early);
    const at::Tensor p = last.exp().unsqueeze(0), q = before.exp();
    const at::Tensor middle = p.add(q).mul(0.5);
    at::Tensor divergence;
    if (options.divergence == LayerDivergence::reversed) {
      const at::Tensor own = at::_ops::xlogy_Tensor::call(middle, middle);
      divergence = own.mul(2).sub(middle.mul(last)).sub(middle.mul(before)).sum(-1);
    } else {
      const auto part = [](const at::Tensor& share, const at::Tensor& log_share, const at::Tensor& mean) {
        return share.mul(log_share).sub(at::_ops::xlogy_Tensor::call(share, mean));
      };
      divergence = part(p, last, middle).add(part(q, before, middle)).sum(-1);
    }
    farthest = divergence.argmax().item<std::int64_t>();
  }
  at::Tensor own = last;
  if (!allowed.empty()) {
    own = last.clone();
    float* const values = own.data_ptr<float>();
    for (std::int64_t i = 0; i < own.numel(); ++i) {
      const auto word = static_cast<std::size_t>(i / 64);
      if (word >= allowed.size() || (allowed[word] >> (i % 64) & 1) == 0) values[i] = kForbidden;
    }
  }
  const double bound = own.max().item<float>() + std::log(options.relative_top);
  // Of ties by rounding all stay, as in transformers, which compares the same two numbers.
  if (premature != nullptr) *premature = farthest;
  return last.sub(logs.select(0, farthest)).masked_fill(own.lt(bound), kForbidden).contiguous();
}

}  // namespace powerhouse
