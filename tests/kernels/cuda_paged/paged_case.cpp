#include "kernels/cuda_paged/paged_case.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <sstream>

namespace powerhouse::testing {

using cuda_on_host::Contents;
using cuda_on_host::GlobalMemory;

namespace {

const char* name_of(Element type) { return type == Element::f32 ? "f32" : type == Element::bf16 ? "bf16" : "f16"; }

std::size_t workspace_floats(const PagedCase& one, const cuda::PagedCache& cache) {
  const auto floats = cuda::paged_workspace_floats(
      {.cache = cache, .all_rows = one.cache.all_rows(), .heads = one.heads, .window = one.window});
  return static_cast<std::size_t>(std::max<std::int64_t>(1, floats));
}

double bf16(double x) { return static_cast<double>(round_element(static_cast<float>(x), Element::bf16)); }

}  // namespace

std::ostream& operator<<(std::ostream& out, const PagedCase& one) {
  out << name_of(one.type) << " over " << block_info(one.cache.cache).name << " heads " << one.heads << "/"
      << one.cache.kv_heads << " head_dim " << one.cache.head_dim << " page " << one.cache.page_tokens << " window "
      << one.window << " multiprocessors " << one.multiprocessors << " shared pages " << one.cache.shared_pages
      << " rows of positions";
  for (int s = 0; s < one.cache.sequences(); ++s) {
    out << ' ' << one.cache.rows[static_cast<std::size_t>(s)] << '/' << one.cache.lengths[static_cast<std::size_t>(s)];
  }
  if (one.softcap > 0) out << " softcap " << one.softcap;
  return out << (one.alibi ? one.alibi_in_bf16 ? " alibi in bf16" : " alibi" : "") << (one.sinks ? " sinks" : "");
}

std::vector<PagedCase> paged_edge_cases() {
  return {
      {.cache = {.rows = {1}, .lengths = {1}}},
      {.cache = {.rows = {1}, .lengths = {0}}},
      {.cache = {.rows = {0, 2, 0}, .lengths = {20, 30, 0}}},
      {.cache = {.rows = {1, 1, 1}, .lengths = {0, 16, 17}}},  // nothing, a whole page, one more
      {.cache = {.rows = {1}, .lengths = {257}}},              // a part and one position
      {.cache = {.kv_heads = 2, .rows = {8, 1}, .lengths = {300, 64}}, .heads = 16, .multiprocessors = 1},
      {.cache = {.rows = {3}, .lengths = {2}}, .sinks = true},  // a row before the first position
      {.cache = {.rows = {4, 2}, .lengths = {270, 513}}, .heads = 2, .window = 5},
      {.cache = {.rows = {2}, .lengths = {600}}, .heads = 3, .window = 300, .sinks = true, .multiprocessors = 1},
      {.cache = {.rows = {1, 5}, .lengths = {90, 100}, .shared_pages = 3}, .heads = 4, .alibi = true},
      {.cache = {.kv_heads = 3, .page_tokens = 5, .rows = {1, 1}, .lengths = {33, 270}}, .heads = 6, .softcap = 5},
      {.cache = {.cache = BlockFormat::q8_0, .kv_heads = 2, .rows = {2, 1}, .lengths = {70, 300}}, .heads = 6},
      {.cache = {.cache = BlockFormat::q4_0, .head_dim = 96, .rows = {1}, .lengths = {40}},
       .alibi = true,
       .alibi_in_bf16 = true},
      {.cache =
           {.cache = BlockFormat::q8_0, .kv_heads = 3, .head_dim = 32, .page_tokens = 3, .rows = {1}, .lengths = {20}},
       .heads = 3},
      {.cache = {.cache = BlockFormat::f32, .head_dim = 40, .rows = {2, 1}, .lengths = {30, 280}},
       .type = Element::f32},
      {.cache = {.cache = BlockFormat::q8_0, .rows = {2}, .lengths = {70}}, .type = Element::f32, .heads = 2},
      {.cache = {.cache = BlockFormat::q8_0, .rows = {2, 5}, .lengths = {70, 300}, .largest_value = 600},
       .heads = 2},  // scales of values above two
      {.cache = {.kv_heads = 3, .rows = {1, 1}, .lengths = {770, 500}},
       .heads = 3,
       .multiprocessors = 1},  // runs of parts
      {.cache = {.kv_heads = 4, .rows = {2, 2, 2, 2, 2}, .lengths = {520, 300, 270, 260, 30}},
       .heads = 32,
       .multiprocessors = 1},  // runs of parts, of more vectors than columns
      {.cache = {.head_dim = 128, .rows = {1}, .lengths = {130}}, .heads = 8},
      {.cache = {.head_dim = 200, .rows = {1, 1}, .lengths = {65, 258}}, .heads = 2},
  };
}

PagedProblem::PagedProblem(const PagedCase& one)
    : case_(one),
      cache_(one.cache, true, one.row_starts),
      q_row_stride_(one.heads * (one.cache.head_dim + (one.gaps ? 8 : 0)) + (one.gaps ? 16 : 0)),
      q_head_stride_(one.cache.head_dim + (one.gaps ? 8 : 0)),
      out_row_stride_(one.heads * one.cache.head_dim + (one.gaps ? 8 : 0)),
      out_head_stride_(one.cache.head_dim),
      q_(static_cast<std::size_t>(std::max(1, one.cache.all_rows()) * q_row_stride_ * element_bytes(one.type))),
      out_(static_cast<std::size_t>(std::max(1, one.cache.all_rows()) * out_row_stride_ * element_bytes(one.type))),
      slopes_(static_cast<std::size_t>(one.heads)),
      sinks_(static_cast<std::size_t>(one.heads)),
      workspace_(workspace_floats(one, cache_.params())) {
  std::memset(q_.data(), 0xFF, q_.bytes());
  for (int s = 0; s < one.cache.sequences(); ++s) {
    for (int row = 0; row < one.cache.rows[static_cast<std::size_t>(s)]; ++row) {
      for (int head = 0; head < one.heads; ++head) {
        for (int d = 0; d < one.cache.head_dim; ++d) {
          write_element(q_.data(), one.type, (one.cache.first_row(s) + row) * q_row_stride_ + head * q_head_stride_ + d,
                        3.0f * number_at(3, one.cache.name(s), one.cache.position(s, row) + 100, head, d));
        }
      }
    }
  }
  for (int head = 0; head < one.heads; ++head) {
    slopes_[static_cast<std::size_t>(head)] = std::exp2(-1.3f - static_cast<float>(head));
    sinks_[static_cast<std::size_t>(head)] = head % 3 == 0 ? 4.0f : static_cast<float>(head % 5) - 2.0f;
  }
}

cuda::PagedAttentionParams PagedProblem::params() {
  return {.cache = cache_.params(),
          .type = case_.type,
          .q = q_.data(),
          .out = out_.data(),
          .q_row_stride = q_row_stride_,
          .q_head_stride = q_head_stride_,
          .out_row_stride = out_row_stride_,
          .out_head_stride = out_head_stride_,
          .all_rows = case_.cache.all_rows(),
          .heads = case_.heads,
          .window = case_.window,
          .scale = 1.0f / std::sqrt(static_cast<float>(case_.cache.head_dim)),
          .softcap = case_.softcap,
          .alibi_slopes = case_.alibi ? slopes_.data() : nullptr,
          .alibi_in_bf16 = case_.alibi_in_bf16,
          .sinks = case_.sinks ? sinks_.data() : nullptr,
          .workspace = workspace_.data(),
          .multiprocessors = case_.multiprocessors};
}

CountingLauncher PagedProblem::run(cuda_on_host::Order order, std::int64_t traffic_block) {
  memory_ = std::make_unique<GlobalMemory>();
  cache_.add_to(*memory_, Contents::input);
  memory_->add(q_.data(), q_.bytes(), "q", Contents::input);
  memory_->add(out_.data(), out_.bytes(), "out", Contents::output);
  memory_->add(slopes_.data(), slopes_.bytes(), "slopes", Contents::input);
  memory_->add(sinks_.data(), sinks_.bytes(), "sinks", Contents::input);
  memory_->add(workspace_.data(), workspace_.bytes(), "workspace", Contents::output);
  CountingLauncher launcher(*memory_, order, 1, {"keys", "values", "q", "out", "workspace"});
  launcher.count_traffic(traffic_block);
  paged_attention_on_host(params(), launcher);
  return launcher;
}

/// Numbers are rounded to the type of queries, codes of blocks are exact in it.
double PagedProblem::as_multiplied(double cell) const {
  const bool blocks = case_.cache.cache == BlockFormat::q8_0 || case_.cache.cache == BlockFormat::q4_0;
  return blocks ? cell : static_cast<double>(round_element(static_cast<float>(cell), case_.type));
}

double PagedProblem::score(int sequence, int row, int head, int key) {
  const cuda::PagedAttentionParams p = params();
  const int kv_head = head / (case_.heads / case_.cache.kv_heads);
  const int position = case_.cache.position(sequence, row);
  const std::int64_t q = (case_.cache.first_row(sequence) + row) * q_row_stride_ + head * q_head_stride_;
  double score = 0;
  for (int d = 0; d < case_.cache.head_dim; ++d) {
    const double k = cache_.cell(sequence, key, kv_head, d, false);
    score += static_cast<double>(read_element(q_.data(), case_.type, q + d)) * as_multiplied(k);
  }
  score *= static_cast<double>(p.scale);
  if (case_.softcap > 0) {
    score = static_cast<double>(case_.softcap) * std::tanh(score / static_cast<double>(case_.softcap));
  }
  const double slope = slopes_[static_cast<std::size_t>(head)];
  if (!case_.alibi) return score;
  if (!case_.alibi_in_bf16) return score + slope * (key - position);
  return score + (bf16(bf16(slope) * bf16(key)) - bf16(bf16(slope) * bf16(position))) * static_cast<double>(p.scale);
}

PagedProblem::Expected PagedProblem::expected(int sequence, int row, int head) {
  Expected found{.out = std::vector<double>(static_cast<std::size_t>(case_.cache.head_dim))};
  const int kv_head = head / (case_.heads / case_.cache.kv_heads);
  const int end = case_.cache.position(sequence, row) + 1;
  const int begin = case_.window > 0 ? std::max(0, end - case_.window) : 0;
  if (end <= begin) return found;
  found.none = false;
  const double sink = case_.sinks ? static_cast<double>(sinks_[static_cast<std::size_t>(head)])
                                  : -std::numeric_limits<double>::infinity();
  double best = sink;
  std::vector<double> scores;
  for (int key = begin; key < end; ++key) {
    scores.push_back(score(sequence, row, head, key));
    best = std::max(best, scores.back());
    found.largest = std::max(found.largest, std::abs(scores.back()));
  }
  double total = std::exp(sink - best);
  for (const double one : scores) total += std::exp(one - best);
  for (int key = begin; key < end; ++key) {
    const double weight = std::exp(scores[static_cast<std::size_t>(key - begin)] - best) / total;
    for (int d = 0; d < case_.cache.head_dim; ++d) {
      const double v = cache_.cell(sequence, key, kv_head, d, true);
      found.out[static_cast<std::size_t>(d)] += weight * as_multiplied(v);
    }
    found.spread += weight * static_cast<double>(case_.cache.largest_value);
  }
  return found;
}

/// Weights and outputs are each rounded once: half a unit in the last place of the weights times the largest value,
/// twice. Weights of f16 below 2^-14 are coarser, and scores and sums are float32.
std::string PagedProblem::wrong() {
  const double rounding = case_.type == Element::bf16 ? 0x1p-8 : case_.type == Element::f16 ? 0x1p-11 : 1e-6;
  std::ostringstream text;
  for (int s = 0; s < case_.cache.sequences(); ++s) {
    for (int row = 0; row < case_.cache.rows[static_cast<std::size_t>(s)]; ++row) {
      for (int head = 0; head < case_.heads; ++head) {
        const Expected right = expected(s, row, head);
        const double bound = right.none
                                 ? 0
                                 : rounding * right.spread * 1.01 + (case_.type == Element::f16 ? 2e-5 : 0) +
                                       4e-6 * (1 + right.largest) * static_cast<double>(case_.cache.largest_value);
        for (int d = 0; d < case_.cache.head_dim; ++d) {
          const double found = static_cast<double>(
              read_element(out_.data(), case_.type, out_at(case_.cache.first_row(s) + row, head) + d));
          const double wanted = right.out[static_cast<std::size_t>(d)];
          if (std::abs(found - wanted) <= bound) continue;
          text << "out of sequence " << s << " row " << row << " head " << head << " at " << d << ": " << found
               << ", expected " << wanted << " within " << bound;
          return text.str();
        }
      }
    }
  }
  const auto written =
      static_cast<std::size_t>(case_.cache.all_rows() * case_.heads * case_.cache.head_dim * element_bytes(case_.type));
  if (memory_->named("out").shadow.unwritten() != out_.bytes() - written) return "out has holes, or gaps were written";
  return "";
}

std::vector<std::uint8_t> PagedProblem::row_bits(int sequence, int row) const {
  const auto bytes = element_bytes(case_.type);
  const std::uint8_t* const first = out_.data() + out_at(case_.cache.first_row(sequence) + row, 0) * bytes;
  return {first, first + case_.heads * case_.cache.head_dim * bytes};
}

std::uint64_t PagedProblem::least_bytes() const {
  std::int64_t positions = 0;
  for (int s = 0; s < case_.cache.sequences(); ++s) {
    const int end = case_.cache.lengths[static_cast<std::size_t>(s)];
    const int begin = case_.window > 0 ? std::max(0, case_.cache.position(s, 0) + 1 - case_.window) : 0;
    positions += end - begin;
  }
  return static_cast<std::uint64_t>(positions * case_.cache.kv_heads * cache_.row_bytes());
}

}  // namespace powerhouse::testing
