// Attention of packed documents and its gradients: the definition, in float64 over all that a row sees.
#pragma once

#include <cmath>
#include <vector>

#include "kernels/cpu/kernels.h"

namespace powerhouse::reference {

/// One query vector: its row in the document, its head.
struct FlashVector {
  const cpu::FlashParams& params;
  const cpu::FlashPart& part;
  std::int64_t row, head;

  std::int64_t kv_head() const { return head / params.group; }
  std::int64_t first() const { return params.window > 0 && params.window <= row ? row - params.window + 1 : 0; }
  std::int64_t statistic() const { return head * params.lse_head_stride + part.first + row; }
  double query(std::int64_t d) const {
    return read_element(params.q, params.type,
                        (part.first + row) * params.q_row_stride + head * params.q_head_stride + d);
  }
  double key(std::int64_t t, std::int64_t d) const {
    return read_element(params.k, params.type,
                        cpu::flash_key_row(part, t) * params.k_row_stride + kv_head() * params.k_head_stride + d);
  }
  double value(std::int64_t t, std::int64_t d) const {
    return read_element(params.v, params.type,
                        cpu::flash_key_row(part, t) * params.v_row_stride + kv_head() * params.v_head_stride + d);
  }
  std::int64_t out_at(std::int64_t d) const {
    return (part.first + row) * params.out_row_stride + head * params.out_head_stride + d;
  }
};

struct FlashScore {
  double value;
  double slope;  // by the product q k
};

static inline FlashScore flash_score(const FlashVector& at, std::int64_t t) {
  const cpu::FlashParams& params = at.params;
  double score = 0;
  for (std::int64_t d = 0; d < params.head_dim; ++d) score += at.query(d) * at.key(t, d);
  score *= static_cast<double>(params.scale);
  double slope = params.scale;
  if (params.softcap > 0) {
    const auto cap = static_cast<double>(params.softcap);
    const double part = std::tanh(score / cap);
    score = cap * part;
    slope *= 1 - part * part;
  }
  if (params.alibi_slopes != nullptr) {
    const float steep = params.alibi_slopes[at.head];
    if (params.alibi_in_bf16) {
      const auto rounded = [&](std::int64_t place) {
        const float factor = round_element(static_cast<float>(place), Element::bf16);
        return static_cast<double>(round_element(round_element(steep, Element::bf16) * factor, Element::bf16));
      };
      score += static_cast<double>(params.scale) * (rounded(t) - rounded(at.row));
    } else {
      score += static_cast<double>(steep) * static_cast<double>(t - at.row);
    }
  }
  return {score, slope};
}

template <typename Op>
static inline void flash_vectors(const cpu::FlashParams& params, std::int64_t begin, std::int64_t end, Op op) {
  for (std::int64_t item = begin; item < end; ++item) {
    const cpu::FlashPart& part = params.parts[item / params.num_kv_heads];
    const std::int64_t first = item % params.num_kv_heads * params.group;
    for (std::int64_t row = part.begin; row < part.end; ++row) {
      for (std::int64_t head = first; head < first + params.group; ++head) op(FlashVector{params, part, row, head});
    }
  }
}

static inline void flash_forward(const cpu::FlashParams& params, std::int64_t begin, std::int64_t end) {
  flash_vectors(params, begin, end, [&](const FlashVector& at) {
    std::vector<double> scores;
    double best = params.sinks != nullptr ? static_cast<double>(params.sinks[at.head]) : -INFINITY;
    for (std::int64_t t = at.first(); t <= at.row; ++t) {
      scores.push_back(flash_score(at, t).value);
      best = std::fmax(best, scores.back());
    }
    double total = params.sinks != nullptr ? std::exp(static_cast<double>(params.sinks[at.head]) - best) : 0;
    for (const double score : scores) total += std::exp(score - best);
    params.lse[at.statistic()] = static_cast<float>(best + std::log(total));
    for (std::int64_t d = 0; d < params.head_dim; ++d) {
      double sum = 0;
      for (std::int64_t t = at.first(); t <= at.row; ++t) {
        sum += std::exp(scores[static_cast<std::size_t>(t - at.first())] - best) / total * at.value(t, d);
      }
      write_element(params.out, params.type, at.out_at(d), static_cast<float>(sum));
    }
  });
}

/// Whole documents only. With float64 of its own for the logarithms and outputs that the kernel reads rounded.
static inline void flash_backward(const cpu::FlashBackwardParams& params, std::int64_t rows) {
  const std::int64_t size = params.head_dim;
  std::vector<double> dk(static_cast<std::size_t>(rows * params.num_kv_heads * size));
  std::vector<double> dv(dk.size());
  std::int64_t documents = 0;
  for (std::int64_t row = 0; row < rows; ++documents) {
    row += params.parts[documents].end - params.parts[documents].begin;
  }
  flash_vectors(params, 0, documents * params.num_kv_heads, [&](const FlashVector& at) {
    const auto dout = [&](std::int64_t d) {
      return static_cast<double>(
          read_element(params.dout, params.type,
                       (at.part.first + at.row) * params.dout_row_stride + at.head * params.dout_head_stride + d));
    };
    std::vector<double> weights, slopes, changes;  // P, and what a weight's growth does to the loss
    double total = params.sinks != nullptr ? std::exp(static_cast<double>(params.sinks[at.head])) : 0;
    for (std::int64_t t = at.first(); t <= at.row; ++t) {
      const FlashScore score = flash_score(at, t);
      weights.push_back(std::exp(score.value));
      slopes.push_back(score.slope);
      total += weights.back();
      changes.push_back(0);
      for (std::int64_t d = 0; d < size; ++d) changes.back() += dout(d) * at.value(t, d);
    }
    double delta = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) delta += (weights[i] /= total) * changes[i];
    params.delta[at.statistic()] = static_cast<float>(delta);
    std::vector<double> dq(static_cast<std::size_t>(size));
    for (std::int64_t t = at.first(); t <= at.row; ++t) {
      const auto i = static_cast<std::size_t>(t - at.first());
      const double change = weights[i] * (changes[i] - delta) * slopes[i];
      const auto to =
          static_cast<std::size_t>((cpu::flash_key_row(at.part, t) * params.num_kv_heads + at.kv_head()) * size);
      for (std::int64_t d = 0; d < size; ++d) {
        const auto e = static_cast<std::size_t>(d);
        dq[e] += change * at.key(t, d);
        dk[to + e] += change * at.query(d);
        dv[to + e] += weights[i] * dout(d);
      }
    }
    const std::int64_t to = ((at.part.first + at.row) * params.num_kv_heads * params.group + at.head) * size;
    for (std::int64_t d = 0; d < size; ++d) {
      write_element(params.dq, params.type, to + d, static_cast<float>(dq[static_cast<std::size_t>(d)]));
    }
  });
  for (std::size_t i = 0; i < dk.size(); ++i) {
    write_element(params.dk, params.type, static_cast<std::int64_t>(i), static_cast<float>(dk[i]));
    write_element(params.dv, params.type, static_cast<std::int64_t>(i), static_cast<float>(dv[i]));
  }
}

}  // namespace powerhouse::reference
