// Drawing a token from a row of logits: the definition, by sorting, in float64. temperature, top_k, top_p and min_p as
// src/generation has them, then the token in whose share of [0, total) the number falls, by rising id.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace powerhouse::reference {

struct SamplingChoice {
  float temperature = 1.0f, top_p = 1.0f, min_p = 0.0f;
  std::int64_t top_k = 0;
};

struct SampledToken {
  std::int64_t token = -1;
  double margin = 0;        ///< how far the number fell from the next token, as a part of the total
  double top_p_margin = 1;  ///< how far the cut fell from another token, as a part of the total
  std::int64_t left = 0;    ///< tokens that could be drawn
};

/// temperature above 0; all logits finite or -infinity, one of them finite.
static inline SampledToken sample(const float* logits, std::int64_t vocabulary, const SamplingChoice& choice,
                                  double uniform) {
  struct Candidate {
    float logit;
    std::int64_t id;
  };
  const float raw = *std::max_element(logits, logits + vocabulary);
  const float shift = std::isfinite(raw / choice.temperature) ? 0.0f : raw;
  std::vector<Candidate> row;
  for (std::int64_t i = 0; i < vocabulary; ++i) row.push_back({(logits[i] - shift) / choice.temperature, i});
  std::sort(row.begin(), row.end(), [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id > b.id;
  });
  SampledToken result;
  if (choice.top_k > 0 && choice.top_k < vocabulary) {
    const float last = row[static_cast<std::size_t>(choice.top_k - 1)].logit;
    while (row.back().logit < last) row.pop_back();
  }
  const float best = row.front().logit;
  const auto weight = [best](const Candidate& c) { return std::exp(static_cast<double>(c.logit - best)); };
  if (choice.top_p < 1) {
    double total = 0, above = 0;
    for (const Candidate& c : row) total += weight(c);
    std::size_t kept = 0;
    const double wanted = static_cast<double>(choice.top_p) * total;
    double before = 0;
    while (kept < row.size() && above < wanted) {
      before = above;
      above += weight(row[kept++]);
    }
    result.top_p_margin = std::min(above - wanted, wanted - before) / total;
    row.resize(kept);
  }
  if (choice.min_p > 0) {
    const float bound = best + std::log(choice.min_p);
    while (row.back().logit < bound) row.pop_back();
  }
  std::sort(row.begin(), row.end(), [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
  double total = 0;
  for (const Candidate& c : row) {
    total += weight(c);
    result.left += weight(c) > 0;
  }
  double sum = 0;
  for (const Candidate& c : row) {
    if (weight(c) == 0) continue;
    const double before = sum;
    sum += weight(c);
    result.token = c.id;
    result.margin = std::min(sum - uniform * total, uniform * total - before) / total;
    if (sum > uniform * total) break;
  }
  return result;
}

}  // namespace powerhouse::reference
