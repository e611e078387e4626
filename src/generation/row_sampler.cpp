// A row of 150,000 logits has some dozens of tokens that temperature, top_k, top_p and min_p leave. One pass finds the
// maxima of interleaved blocks; the k-th largest of them is at most the k-th largest logit, so that whatever lies below
// is out, and only blocks whose maximum is not are looked at. What is left goes through the plain processors as a short
// row, in the order of ids: sums, ties and the draw are the same to the bit.
//
// Where a sum over all tokens is needed (top_p alone, or temperature alone) it is computed in float32, and decides only
// where its error can't matter; else the plain way does.
#include "generation/row_sampler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <vector>

#include "generation/row_statistics.h"
#include "generation/sampler.h"
#include "generation/warpers.h"
#include "ops/vocabulary.h"

namespace powerhouse {
namespace {

constexpr std::size_t kPlainRowSize = 4096;  // plain processors are as fast up to here
constexpr std::size_t kChunk = 512;

struct Candidates {
  std::vector<float> logits;  // behind temperature
  std::vector<std::int64_t> ids;
};

class Row {
 public:
  Row(std::span<const float> logits, float temperature, std::size_t blocks)
      : logits_(logits),
        temperature_(temperature),
        maxima_(block_maxima(logits, blocks)),
        best_(*std::max_element(maxima_.begin(), maxima_.end())) {}

  /// As apply_temperature has it where nothing overflows.
  float warm(float logit) const { return temperature_ == 1.0f ? logit : logit / temperature_; }
  float best() const { return warm(best_); }
  bool tame() const {
    return std::isfinite(best_) && temperature_ > 1e-3f && temperature_ < 1e3f && std::isfinite(best_ / temperature_);
  }

  /// All tokens among the k best (and some more), ties included; nothing where that can't be told.
  std::optional<Candidates> best_of(std::size_t k) const {
    if (k > maxima_.size() / 2) return {};
    std::vector<float> order = maxima_;
    const auto kth = order.begin() + static_cast<std::ptrdiff_t>(k) - 1;
    std::nth_element(order.begin(), kth, order.end(), std::greater<>());
    return *kth == kForbidden ? std::nullopt : std::optional(above(*kth));
  }

  /// All tokens whose logit is at least `bound` behind temperature.
  Candidates above_warm(float bound) const { return above(bound * temperature_); }

  /// Sums of exp(warm - best) of each kChunk tokens, in float32; their error is below `tolerance` of the whole.
  std::vector<double> chunk_sums() const {
    std::vector<double> sums;
    float buffer[kChunk];
    const float inverse = 1.0f / temperature_;
    for (std::size_t first = 0; first < logits_.size(); first += kChunk) {
      const std::size_t count = std::min(kChunk, logits_.size() - first);
      for (std::size_t i = 0; i < count; ++i) buffer[i] = (logits_[first + i] - best_) * inverse;
      sums.push_back(std::exp(double{ops::log_sum_exp(std::span(buffer, count))}));
    }
    return sums;
  }
  /// Rounding of the quotients, which grows with their size, and of exponentials and sums, several times over.
  double tolerance() const { return 2e-5 + 5e-7 * std::abs(double{best()}); }

 private:
  Candidates above(float bound) const {
    // A logit that is a little smaller may round to the same quotient.
    const float bar = bound - std::abs(bound) * 1e-6f - 1e-30f;
    std::vector<std::size_t> places;
    for (std::size_t block = 0; block < maxima_.size(); ++block) {
      if (maxima_[block] < bar) continue;
      for (std::size_t i = block; i < logits_.size(); i += maxima_.size()) {
        if (logits_[i] >= bar) places.push_back(i);
      }
    }
    std::sort(places.begin(), places.end());
    Candidates found;
    for (const std::size_t place : places) {
      found.logits.push_back(warm(logits_[place]));
      found.ids.push_back(static_cast<std::int64_t>(place));
    }
    return found;
  }

  std::span<const float> logits_;
  float temperature_;
  std::vector<float> maxima_;
  float best_;
};

// apply_top_p for candidates of a row whose weights sum to about `total`; false where they are too few, or it is a
// close call.
bool keep_top_p(std::vector<float>& logits, float p, float best, double total, double tolerance) {
  std::vector<std::size_t> order(logits.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a > b;  // as apply_top_p ranks
  });
  double above = 0;
  std::size_t kept = 0;
  while (above < double{p} * total) {
    if (kept == order.size()) return false;
    above += std::exp(double{logits[order[kept++]]} - best);
    if (std::abs(above - double{p} * total) < tolerance * total) return false;
  }
  for (; kept < order.size(); ++kept) logits[order[kept]] = kForbidden;
  return true;
}

std::optional<Candidates> top_p_candidates(const Row& row, float p) {
  double total = 0;
  for (const double sum : row.chunk_sums()) total += sum;
  for (std::size_t count = 64;; count *= 8) {
    std::optional<Candidates> found = row.best_of(count);
    if (!found || keep_top_p(found->logits, p, row.best(), total, row.tolerance())) return found;
  }
}

// A draw from the whole row: the chunk where the number falls, then the token in it.
std::optional<std::int64_t> draw(std::span<const float> logits, const Row& row, double number) {
  const std::vector<double> sums = row.chunk_sums();
  double total = 0;
  for (const double sum : sums) total += sum;
  const double target = number * total;
  const double margin = row.tolerance() * total;
  double before = 0;
  for (std::size_t chunk = 0; chunk < sums.size(); before += sums[chunk++]) {
    if (before + sums[chunk] <= target) continue;
    for (std::size_t i = chunk * kChunk; i < std::min(logits.size(), (chunk + 1) * kChunk); ++i) {
      const double weight = std::exp(double{row.warm(logits[i])} - row.best());
      if (before + weight > target) {
        if (target - before < margin || before + weight - target < margin) return {};
        return static_cast<std::int64_t>(i);
      }
      before += weight;
    }
    return {};
  }
  return {};
}

}  // namespace

std::int64_t sample_row(std::span<float> logits, const GenerationOptions& options, const Random& random,
                        std::uint64_t counter) {
  const auto plain = [&] {
    apply_warpers(logits, options);
    return sample_token(logits, random, counter);
  };
  const auto k = static_cast<std::size_t>(options.top_k);
  if (logits.size() < kPlainRowSize || k > logits.size() / 64) return plain();
  const std::size_t wanted = k > 0 ? k : 64;
  const Row row(logits, options.temperature, block_count(logits.size(), wanted));
  if (!row.tame()) return plain();

  std::optional<Candidates> found;
  if (k > 0) {
    found = row.best_of(k);
    if (found) apply_top_k(found->logits, options.top_k);
    if (found) apply_top_p(found->logits, options.top_p);
  } else if (options.top_p < 1.0f) {
    found = top_p_candidates(row, options.top_p);
  } else if (options.min_p > 0.0f) {
    found = row.above_warm(row.best() + std::log(options.min_p));
  } else {
    const auto id = draw(logits, row, random.uniform(counter));
    return id ? *id : plain();
  }
  if (!found) return plain();
  apply_min_p(found->logits, options.min_p);
  return found->ids[static_cast<std::size_t>(sample_token(found->logits, random, counter))];
}

}  // namespace powerhouse
