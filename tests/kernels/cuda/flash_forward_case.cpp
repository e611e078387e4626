#include "kernels/cuda/flash_forward_case.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <sstream>

#include "kernels/cuda/flash_forward_launch.h"

namespace powerhouse::testing {

using cuda_on_host::Contents;
using cuda_on_host::GlobalMemory;

std::ostream& operator<<(std::ostream& out, const FlashCase& one) {
  out << (one.type == Element::bf16 ? "bf16" : "f16") << " heads " << one.heads << "/" << one.kv_heads << " head_dim "
      << one.head_dim << " window " << one.left << "," << one.right << (one.packed ? " packed" : "") << " lengths";
  for (std::size_t i = 0; i < one.queries.size(); ++i) out << ' ' << one.queries[i] << 'x' << one.keys[i];
  if (one.softcap > 0) out << " softcap " << one.softcap;
  if (one.scale > 0) out << " scale " << one.scale;
  return out << (one.alibi ? " alibi" : "") << (one.sinks ? " sinks" : "");
}

/// Shapes that go wrong first: one row, ragged ends on both sides of a tile, more queries than keys, windows shorter
/// than a tile and longer than the document, empty documents, groups of heads.
std::vector<FlashCase> flash_edge_cases(int head_dim) {
  const auto with = [&](FlashCase one) {
    one.head_dim = head_dim;
    return one;
  };
  return {
      with({.queries = {1}, .keys = {1}, .right = 0}),
      with({.queries = {1}, .keys = {130}, .right = 0}),
      with({.queries = {64}, .keys = {64}}),
      with({.heads = 2, .queries = {129}, .keys = {65}, .right = 0}),  // the first 64 rows see nothing
      with({.queries = {63}, .keys = {127}, .right = 0}),
      with({.queries = {65}, .keys = {193}, .left = 20, .right = 0}),
      with({.queries = {130}, .keys = {130}, .left = 0, .right = 0}),  // each its own key alone
      with({.queries = {70}, .keys = {150}, .left = 64, .right = 64}),
      with({.queries = {33}, .keys = {40}, .left = 1000, .right = 0}),
      with({.queries = {40}, .keys = {100}, .right = 3}),
      with({.queries = {100}, .keys = {20}, .left = 5, .right = 5, .sinks = true}),
      with({.heads = 3, .kv_heads = 1, .queries = {5, 0, 70, 1}, .keys = {5, 3, 90, 0}, .packed = true, .right = 0}),
      with({.queries = {0, 0}, .keys = {0, 4}, .packed = true}),
      with({.heads = 8, .kv_heads = 2, .queries = {10}, .keys = {70}, .right = 0, .sinks = true}),
  };
}

GappedTensor::GappedTensor(Element type, int rows, int heads, int head_dim, int head_gap, int row_gap)
    : type_(type),
      rows_(rows),
      heads_(heads),
      head_dim_(head_dim),
      head_stride_(head_dim + head_gap),
      row_stride_(heads * head_stride_ + row_gap),
      data_(static_cast<std::size_t>(std::max(1, rows) * row_stride_)) {
  std::fill(data_.begin(), data_.end(), 0x7FFF);  // NaN of both types
}

void GappedTensor::fill(std::uint64_t seed, float scale) {
  std::mt19937_64 engine(seed);
  for (std::int64_t row = 0; row < rows_; ++row) {
    for (int head = 0; head < heads_; ++head) {
      for (int d = 0; d < head_dim_; ++d) {
        const float uniform = static_cast<float>(engine() >> 40) * 0x1p-23f - 1.0f;
        write_element(data_.data(), type_, static_cast<std::int64_t>(index(row, head, d)), uniform * scale);
      }
    }
  }
}

double GappedTensor::at(std::int64_t row, int head, int d) const {
  return read_element(data_.data(), type_, static_cast<std::int64_t>(index(row, head, d)));
}

namespace {

std::vector<std::int32_t> starts(const FlashCase& one, const std::vector<int>& lengths) {
  std::vector<std::int32_t> all{0};
  for (const int length : lengths) all.push_back(all.back() + (one.packed ? length : lengths[0]));
  return all;
}

}  // namespace

FlashProblem::FlashProblem(const FlashCase& one, std::uint64_t seed, bool gaps)
    : case_(one),
      q_starts_(starts(one, one.queries)),
      k_starts_(starts(one, one.keys)),
      q_(one.type, q_starts_.back(), one.heads, one.head_dim, gaps ? 8 : 0, gaps ? 16 : 0),
      k_(one.type, k_starts_.back(), one.kv_heads, one.head_dim, gaps ? 16 : 0, gaps ? 8 : 0),
      v_(one.type, k_starts_.back(), one.kv_heads, one.head_dim, gaps ? 24 : 0, 0),
      out_(one.type, q_starts_.back(), one.heads, one.head_dim, 0, gaps ? 24 : 0),
      lse_(static_cast<std::size_t>(one.heads * std::max(1, q_starts_.back()))),
      slopes_(static_cast<std::size_t>(one.heads)),
      sinks_(static_cast<std::size_t>(one.heads)) {
  q_.fill(seed * 3, 3.0f);
  k_.fill(seed * 3 + 1, 2.0f);
  v_.fill(seed * 3 + 2, 1.0f);
  for (int head = 0; head < one.heads; ++head) {
    slopes_[static_cast<std::size_t>(head)] = std::exp2(-1.0f - static_cast<float>(head));
    sinks_[static_cast<std::size_t>(head)] = head % 3 == 0 ? 4.0f : static_cast<float>(head % 5) - 2.0f;
  }
}

cuda::FlashForwardParams FlashProblem::params() {
  cuda::FlashForwardParams params;
  const auto strides = [&](const GappedTensor& tensor, int rows) {
    return cuda::VectorStrides{rows * tensor.row_stride(), tensor.row_stride(), tensor.head_stride()};
  };
  const int queries = *std::max_element(case_.queries.begin(), case_.queries.end());
  const int keys = *std::max_element(case_.keys.begin(), case_.keys.end());
  params.q = q_.data(), params.k = k_.data(), params.v = v_.data();
  params.out = out_.data(), params.lse = lse_.data();
  params.q_strides = strides(q_, queries), params.out_strides = strides(out_, queries);
  params.k_strides = strides(k_, keys), params.v_strides = strides(v_, keys);
  // [batch, heads, queries], or [heads, rows] of packed documents.
  params.lse_head_stride = case_.packed ? q_starts_.back() : queries;
  params.lse_batch_stride = static_cast<std::int64_t>(case_.heads) * queries;
  params.batch = static_cast<int>(case_.queries.size());
  params.heads = case_.heads, params.kv_heads = case_.kv_heads, params.head_dim = case_.head_dim;
  params.queries = queries, params.keys = keys;
  if (case_.packed) params.cu_seqlens_q = q_starts_.data(), params.cu_seqlens_k = k_starts_.data();
  if (case_.scale == 0) case_.scale = 1.0f / std::sqrt(static_cast<float>(case_.head_dim));
  params.scale = case_.scale;
  params.softcap = case_.softcap;
  params.window_left = case_.left, params.window_right = case_.right;
  if (case_.alibi) params.alibi_slopes = slopes_.data();
  if (case_.sinks) params.sinks = sinks_.data();
  return params;
}

cuda_on_host::LaunchReport FlashProblem::run(const cuda_on_host::LaunchOptions& options) {
  const cuda::FlashForwardParams params = this->params();
  memory_ = std::make_unique<GlobalMemory>();
  memory_->add(q_.data(), q_.bytes(), "q", Contents::input);
  memory_->add(k_.data(), k_.bytes(), "k", Contents::input);
  memory_->add(v_.data(), v_.bytes(), "v", Contents::input);
  memory_->add(out_.data(), out_.bytes(), "out", Contents::output);
  memory_->add(lse_.data(), lse_.bytes(), "lse", Contents::output);
  memory_->add(slopes_.data(), slopes_.bytes(), "slopes", Contents::input);
  memory_->add(sinks_.data(), sinks_.bytes(), "sinks", Contents::input);
  memory_->add(q_starts_.data(), q_starts_.size() * 4, "cu_seqlens_q", Contents::input);
  memory_->add(k_starts_.data(), k_starts_.size() * 4, "cu_seqlens_k", Contents::input);
  const cuda::FlashForwardLaunch launch = cuda::flash_forward_launch(case_.head_dim, case_.type, case_.modified());
  const auto tiles = static_cast<unsigned>((params.queries + launch.rows - 1) / launch.rows);
  return cuda_on_host::launch({tiles, static_cast<unsigned>(params.heads), static_cast<unsigned>(params.batch)},
                              {static_cast<unsigned>(launch.threads)}, launch.shared_bytes, *memory_, options,
                              [&] { launch.kernel(params); });
}

FlashProblem::Row FlashProblem::expected(int document, int head, int query) const {
  const auto part = static_cast<std::size_t>(document);
  const int keys = k_starts_[part + 1] - k_starts_[part];
  const int place = query + keys - (q_starts_[part + 1] - q_starts_[part]);
  const int kv_head = head / (case_.heads / case_.kv_heads);
  const int begin = case_.left < 0 ? 0 : std::max(0, place - case_.left);
  const int end = case_.right < 0 ? keys : std::min(keys, place + case_.right + 1);
  const auto index = static_cast<std::size_t>(head);
  const double infinity = std::numeric_limits<double>::infinity();
  Row row{std::vector<double>(static_cast<std::size_t>(case_.head_dim)), -infinity, 0, 0};
  std::vector<double> scores;
  double best = case_.sinks ? static_cast<double>(sinks_[index]) : -infinity;
  for (int key = begin; key < end; ++key) {
    double score = 0;
    for (int d = 0; d < case_.head_dim; ++d) {
      score += q_.at(q_starts_[part] + query, head, d) * k_.at(k_starts_[part] + key, kv_head, d);
    }
    score *= static_cast<double>(case_.scale);
    if (case_.softcap > 0) score = case_.softcap * std::tanh(score / static_cast<double>(case_.softcap));
    if (case_.alibi) score += static_cast<double>(slopes_[index]) * (key - place);
    scores.push_back(score);
    best = std::max(best, score);
    row.largest = std::max(row.largest, std::abs(score));
  }
  if (best == -infinity) return row;
  double total = case_.sinks ? std::exp(static_cast<double>(sinks_[index]) - best) : 0;
  for (const double score : scores) total += std::exp(score - best);
  for (int key = begin; key < end; ++key) {
    const double weight = std::exp(scores[static_cast<std::size_t>(key - begin)] - best) / total;
    for (int d = 0; d < case_.head_dim; ++d) {
      row.out[static_cast<std::size_t>(d)] += weight * v_.at(k_starts_[part] + key, kv_head, d);
    }
    row.spread += weight;  // values are at most 1
  }
  row.lse = best + std::log(total);
  return row;
}

/// Weights and outputs are each rounded once: at most half a unit in the last place (2^-9, 2^-12) of the weights times
/// the largest value, twice. Weights of f16 below 2^-14 are coarser, and scores are sums in float32.
std::string FlashProblem::wrong() const {
  const double rounding = case_.type == Element::bf16 ? 0x1p-8 : 0x1p-11;
  std::ostringstream out;
  for (std::size_t document = 0; document < case_.queries.size(); ++document) {
    const int queries = q_starts_[document + 1] - q_starts_[document];
    for (int head = 0; head < case_.heads; ++head) {
      for (int query = 0; query < queries; ++query) {
        const Row row = expected(static_cast<int>(document), head, query);
        const std::int64_t at = q_starts_[document] + query;
        const std::int64_t lse_at = case_.packed
                                        ? static_cast<std::int64_t>(head) * q_starts_.back() + at
                                        : (static_cast<std::int64_t>(document) * case_.heads + head) * queries + query;
        const double lse = lse_[static_cast<std::size_t>(lse_at)];
        const bool same = std::isinf(row.lse) ? lse == row.lse : std::abs(lse - row.lse) <= 4e-6 * (1 + row.largest);
        if (!same) {
          out << "lse of document " << document << " head " << head << " query " << query << ": " << lse
              << ", expected " << row.lse;
          return out.str();
        }
        const double bound = rounding * row.spread + (case_.type == Element::f16 ? 2e-5 : 0) + 4e-6 * row.largest;
        for (int d = 0; d < case_.head_dim; ++d) {
          const double found = out_.at(at, head, d), wanted = row.out[static_cast<std::size_t>(d)];
          if (std::abs(found - wanted) <= (std::isinf(row.lse) ? 0 : bound)) continue;
          out << "out of document " << document << " head " << head << " query " << query << " at " << d << ": "
              << found << ", expected " << wanted << " within " << bound;
          return out.str();
        }
      }
    }
  }
  if (memory_->named("lse").shadow.unwritten() != (q_starts_.back() == 0 ? lse_.bytes() : 0)) out << "lse has holes";
  const std::size_t gaps = q_starts_.back() == 0 ? out_.bytes() : out_.gap_bytes();
  if (memory_->named("out").shadow.unwritten() != gaps) out << "out has holes, or its gaps were written";
  return out.str();
}

}  // namespace powerhouse::testing
