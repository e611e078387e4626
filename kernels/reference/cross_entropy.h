// Cross entropy of rows of logits with its gradient: the definition, in float64.
#pragma once

#include <cmath>

#include "kernels/cpu/kernels.h"

namespace powerhouse::reference {

static inline double scaled_logit(const cpu::CrossEntropyParams& params, std::int64_t at) {
  const double z =
      static_cast<double>(params.scale) * static_cast<double>(read_element(params.logits, params.type, at));
  const auto cap = static_cast<double>(params.softcap);
  return cap == 0 ? z : cap * std::tanh(z / cap);
}

static inline void cross_entropy(const cpu::CrossEntropyParams& params, std::int64_t begin, std::int64_t end) {
  const auto count = static_cast<double>(params.vocabulary);
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t first = row * params.stride;
    double best = scaled_logit(params, first);
    std::int64_t where = 0;
    bool nan = std::isnan(best);
    double total = 0;
    for (std::int64_t i = 0; i < params.vocabulary; ++i) {
      const double logit = scaled_logit(params, first + i);
      total += logit;
      nan = nan || std::isnan(logit);
      if (logit > best) {
        best = logit;
        where = i;
      }
    }
    double sum = 0;
    double weighted = 0, squares = 0;
    for (std::int64_t i = 0; i < params.vocabulary; ++i) {
      const double distance = scaled_logit(params, first + i) - best;
      sum += std::exp(distance);
      squares += std::exp(2 * distance);
      if (distance > -INFINITY) weighted += std::exp(distance) * distance;
    }
    const double log_sum_exp = best + std::log(sum);
    const std::int64_t target = params.targets[row];
    const double log_prob = scaled_logit(params, first + target) - log_sum_exp;
    const auto smoothing = static_cast<double>(params.smoothing);
    const auto z_loss = static_cast<double>(params.z_loss);
    double loss = -(1 - smoothing) * log_prob;
    if (smoothing != 0) loss += smoothing * (log_sum_exp - total / count);
    if (z_loss != 0) loss += z_loss * log_sum_exp * log_sum_exp;
    params.loss[row] = static_cast<float>(loss);
    params.log_prob[row] = static_cast<float>(log_prob);
    const double entropy = std::log(sum) - weighted / sum;
    params.entropy[row] = static_cast<float>(entropy);
    if (params.mean_logit != nullptr) {
      params.mean_logit[row] = static_cast<float>(total / count);
      params.log_sum_sq[row] = static_cast<float>(std::log(squares) - 2 * std::log(sum));
    }
    params.arg_max[row] = nan ? -1 : where;
    if (params.weights == nullptr) continue;
    for (std::int64_t i = 0; i < params.vocabulary; ++i) {
      const double logit = scaled_logit(params, first + i);
      double slope = static_cast<double>(params.scale);
      if (params.softcap != 0) slope *= 1 - std::pow(logit / static_cast<double>(params.softcap), 2);
      const double wanted = (i == target ? 1 - smoothing : 0) + smoothing / count;
      const double gradient = std::exp(logit - log_sum_exp) * (1 + 2 * z_loss * log_sum_exp) - wanted;
      double whole = static_cast<double>(params.weights[row]) * gradient;
      if (params.entropy_weights != nullptr && logit > -INFINITY) {
        const double log_p = logit - log_sum_exp;
        whole -= static_cast<double>(params.entropy_weights[row]) * std::exp(log_p) * (log_p + entropy);
      }
      write_element(params.logits, params.type, first + i, static_cast<float>(whole * slope));
    }
  }
}

}  // namespace powerhouse::reference
