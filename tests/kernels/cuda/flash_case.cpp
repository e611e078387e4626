#include "kernels/cuda/flash_case.h"

#include <cmath>
#include <limits>
#include <random>

#include "support/philox.h"

namespace powerhouse::testing {

using cuda_on_host::Contents;

std::ostream& operator<<(std::ostream& out, const FlashCase& one) {
  out << (one.type == Element::bf16 ? "bf16" : "f16") << " heads " << one.heads << "/" << one.kv_heads << " head_dim "
      << one.head_dim << " window " << one.left << "," << one.right << (one.packed ? " packed" : "") << " lengths";
  for (std::size_t i = 0; i < one.queries.size(); ++i) out << ' ' << one.queries[i] << 'x' << one.keys[i];
  if (one.softcap > 0) out << " softcap " << one.softcap;
  if (one.scale > 0) out << " scale " << one.scale;
  if (one.dropout > 0) out << " dropout " << one.dropout;
  if (one.slices > 0) out << " slices " << one.slices;
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
      with({.heads = 2, .queries = {70}, .keys = {90}, .right = 0, .dropout = 0.3f}),
      with({.queries = {20}, .keys = {40}, .softcap = 3.0f, .sinks = true}),
      with({.heads = 8, .kv_heads = 2, .queries = {10}, .keys = {70}, .right = 0, .sinks = true}),
  };
}

FlashCase random_flash_case(std::uint64_t seed, int least, int most) {
  std::mt19937_64 engine(seed);
  const auto upto = [&](int limit) { return static_cast<int>(engine() % static_cast<std::uint64_t>(limit + 1)); };
  FlashCase one;
  one.type = upto(1) ? Element::bf16 : Element::f16;
  one.head_dim = least + upto((most - least) / 8) * 8;
  one.kv_heads = 1 + upto(1);
  one.heads = one.kv_heads * (1 + upto(upto(3) ? 1 : 7));
  one.packed = upto(1) == 0;
  const int documents = one.heads > 4 ? 1 : 1 + upto(one.packed ? 2 : 1);
  one.queries.clear(), one.keys.clear();
  for (int i = 0; i < documents; ++i) {
    one.queries.push_back(one.packed || i == 0 ? upto(upto(2) ? 140 : 20) + (one.packed ? 0 : 1) : one.queries[0]);
    one.keys.push_back(one.packed || i == 0 ? (upto(2) ? one.queries[0] + upto(64) : upto(140)) + 1 : one.keys[0]);
  }
  if (upto(2) > 0) one.right = upto(3) ? 0 : upto(70);
  if (upto(2) == 0) one.left = upto(90);
  if (upto(2) == 0) one.softcap = 1.0f + static_cast<float>(upto(9));
  one.alibi = upto(2) == 0;
  one.sinks = upto(3) == 0;
  if (upto(3) == 0) one.dropout = 0.1f + 0.2f * static_cast<float>(upto(3));
  return one;
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

void GappedTensor::fill_one_hot() {
  for (std::int64_t row = 0; row < rows_; ++row) {
    for (int head = 0; head < heads_; ++head) {
      for (int d = 0; d < head_dim_; ++d) set(row, head, d, row % head_dim_ == d ? 1 : 0);
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

FlashInputs::FlashInputs(const FlashCase& one_, std::uint64_t seed_, bool gaps)
    : one(one_),
      seed(seed_),
      q_starts(starts(one, one.queries)),
      k_starts(starts(one, one.keys)),
      q(one.type, q_starts.back(), one.heads, one.head_dim, gaps ? 8 : 0, gaps ? 16 : 0),
      k(one.type, k_starts.back(), one.kv_heads, one.head_dim, gaps ? 16 : 0, gaps ? 8 : 0),
      v(one.type, k_starts.back(), one.kv_heads, one.head_dim, gaps ? 24 : 0, 0),
      out(one.type, q_starts.back(), one.heads, one.head_dim, 0, gaps ? 24 : 0),
      lse(static_cast<std::size_t>(one.heads * std::max(1, q_starts.back()))),
      slopes(static_cast<std::size_t>(one.heads)),
      sinks(static_cast<std::size_t>(one.heads)) {
  if (one.scale == 0) one.scale = 1.0f / std::sqrt(static_cast<float>(one.head_dim));
  q.fill(seed * 3, 3.0f);
  k.fill(seed * 3 + 1, 2.0f);
  v.fill(seed * 3 + 2, 1.0f);
  if (one.one_hot) v.fill_one_hot();
  for (int head = 0; head < one.heads; ++head) {
    slopes[static_cast<std::size_t>(head)] = std::exp2(-1.0f - static_cast<float>(head));
    sinks[static_cast<std::size_t>(head)] = head % 3 == 0 ? 4.0f : static_cast<float>(head % 5) - 2.0f;
  }
}

namespace {

std::uint32_t dropout_threshold(const FlashCase& one) {
  return static_cast<std::uint32_t>(std::lround(one.dropout * 65536.0f));
}
constexpr std::uint64_t kDropoutCounter = 0xFFFFFFFFull - 5;  // the low word overflows within the first rows
constexpr std::uint32_t kDropoutLane = 7;
std::uint64_t dropout_seed(std::uint64_t seed) { return seed * 0x9E3779B97F4A7C15ull; }

}  // namespace

cuda::FlashForwardParams FlashInputs::params() {
  cuda::FlashForwardParams params;
  const int queries_most = *std::max_element(one.queries.begin(), one.queries.end());
  params.q = q.data(), params.k = k.data(), params.v = v.data();
  params.out = out.data(), params.lse = lse.data();
  params.q_strides = q_strides(q), params.out_strides = q_strides(out);
  params.k_strides = k_strides(k), params.v_strides = k_strides(v);
  // [batch, heads, queries], or [heads, rows] of packed documents.
  params.lse_head_stride = one.packed ? q_starts.back() : queries_most;
  params.lse_batch_stride = static_cast<std::int64_t>(one.heads) * queries_most;
  params.batch = static_cast<int>(one.queries.size());
  params.heads = one.heads, params.kv_heads = one.kv_heads, params.head_dim = one.head_dim;
  params.queries = queries_most, params.keys = *std::max_element(one.keys.begin(), one.keys.end());
  if (one.packed) params.cu_seqlens_q = q_starts.data(), params.cu_seqlens_k = k_starts.data();
  params.scale = one.scale;
  params.softcap = one.softcap;
  params.window_left = one.left, params.window_right = one.right;
  if (one.alibi) params.alibi_slopes = slopes.data();
  if (one.sinks) params.sinks = sinks.data();
  params.type = one.type;
  if (one.dropout > 0) {
    const std::uint32_t threshold = dropout_threshold(one);
    const std::uint64_t key = dropout_seed(seed);
    params.dropout = {.threshold = threshold,
                      .kept = 65536.0f / static_cast<float>(65536 - threshold),
                      .key = {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)},
                      .counter = kDropoutCounter,
                      .lane = kDropoutLane,
                      .stream = static_cast<std::uint32_t>(RandomStream::dropout)};
  }
  return params;
}

void FlashInputs::add_inputs(cuda_on_host::GlobalMemory& memory) {
  memory.add(q.data(), q.bytes(), "q", Contents::input);
  memory.add(k.data(), k.bytes(), "k", Contents::input);
  memory.add(v.data(), v.bytes(), "v", Contents::input);
  memory.add(slopes.data(), slopes.bytes(), "slopes", Contents::input);
  memory.add(sinks.data(), sinks.bytes(), "sinks", Contents::input);
  memory.add(q_starts.data(), q_starts.size() * 4, "cu_seqlens_q", Contents::input);
  memory.add(k_starts.data(), k_starts.size() * 4, "cu_seqlens_k", Contents::input);
}

std::size_t FlashInputs::lse_index(int document, int head, int query) const {
  const auto part = static_cast<std::size_t>(document);
  if (one.packed) return static_cast<std::size_t>(head * q_starts.back() + q_starts[part] + query);
  return static_cast<std::size_t>((document * one.heads + head) * one.queries[0] + query);
}

FlashWeights FlashInputs::weights(int document, int head, int query) const {
  const auto part = static_cast<std::size_t>(document), index = static_cast<std::size_t>(head);
  const int of_document = keys(document);
  const int place = query + of_document - queries(document);
  const int begin = one.left < 0 ? 0 : std::max(0, place - one.left);
  const int end = one.right < 0 ? of_document : std::min(of_document, place + one.right + 1);
  const double infinity = std::numeric_limits<double>::infinity();
  FlashWeights row;
  row.begin = begin;
  double best = one.sinks ? static_cast<double>(sinks[index]) : -infinity;
  const Random random(dropout_seed(seed), RandomStream::dropout, kDropoutLane);
  const std::int64_t blocks = (*std::max_element(one.keys.begin(), one.keys.end()) + 7) / 8;
  const std::int64_t numbered =
      (std::int64_t{document} * one.heads + head) * *std::max_element(one.queries.begin(), one.queries.end()) + query;
  for (int key = begin; key < end; ++key) {
    double score = 0, derivative = static_cast<double>(one.scale);
    for (int d = 0; d < one.head_dim; ++d) {
      score += q.at(q_starts[part] + query, head, d) * k.at(k_starts[part] + key, kv_head(head), d);
    }
    score *= static_cast<double>(one.scale);
    if (one.softcap > 0) {
      const double capped = std::tanh(score / static_cast<double>(one.softcap));
      score = static_cast<double>(one.softcap) * capped;
      derivative *= 1 - capped * capped;
    }
    if (one.alibi) score += static_cast<double>(slopes[index]) * (key - place);
    row.weight.push_back(score);
    row.derivative.push_back(derivative);
    double kept = 1;
    if (one.dropout > 0) {
      const auto words = random.block(kDropoutCounter + static_cast<std::uint64_t>(numbered * blocks + key / 8));
      const std::uint32_t word = words[static_cast<std::size_t>(key % 8 / 2)] >> key % 2 * 16 & 0xFFFFu;
      kept = word >= dropout_threshold(one) ? 65536.0 / (65536 - dropout_threshold(one)) : 0;
    }
    row.kept.push_back(kept);
    best = std::max(best, score);
    row.largest = std::max(row.largest, std::abs(score));
  }
  row.lse = -infinity;
  if (best == -infinity) return row;
  double total = one.sinks ? std::exp(static_cast<double>(sinks[index]) - best) : 0;
  for (const double score : row.weight) total += std::exp(score - best);
  for (double& weight : row.weight) weight = std::exp(weight - best) / total;
  row.lse = best + std::log(total);
  return row;
}

}  // namespace powerhouse::testing
