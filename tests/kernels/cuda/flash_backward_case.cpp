#include "kernels/cuda/flash_backward_case.h"

#include <cmath>
#include <cstring>
#include <sstream>

#include "kernels/cuda/flash_backward_launch.h"

namespace powerhouse::testing {

using cuda_on_host::Contents;
using cuda_on_host::GlobalMemory;

namespace {

std::size_t elements(int rows, int heads, int head_dim) { return static_cast<std::size_t>(rows * heads * head_dim); }

cuda::FlashBackwardParams sizes(const FlashInputs& inputs) {
  cuda::FlashBackwardParams params;
  params.forward = const_cast<FlashInputs&>(inputs).params();
  params.packed_queries = inputs.q_starts.back();
  params.slices = inputs.one.slices;
  return params;
}

}  // namespace

FlashBackwardProblem::FlashBackwardProblem(const FlashCase& one, std::uint64_t seed, bool gaps)
    : inputs_(one, seed, gaps),
      dout_(one.type, inputs_.q_starts.back(), one.heads, one.head_dim, gaps ? 16 : 0, gaps ? 8 : 0),
      dq_(one.type, inputs_.q_starts.back(), one.heads, one.head_dim, gaps ? 8 : 0, gaps ? 8 : 0),
      dk_(one.type, inputs_.k_starts.back(), one.kv_heads, one.head_dim, gaps ? 24 : 0, 0),
      dv_(one.type, inputs_.k_starts.back(), one.kv_heads, one.head_dim, 0, gaps ? 32 : 0),
      dsinks_(static_cast<std::size_t>(one.heads)),
      workspace_(static_cast<std::size_t>(cuda::flash_backward_floats(sizes(inputs_)))),
      wanted_q_(elements(inputs_.q_starts.back(), one.heads, one.head_dim)),
      wanted_k_(elements(inputs_.k_starts.back(), one.kv_heads, one.head_dim)),
      wanted_v_(wanted_k_),
      wanted_sinks_(static_cast<std::size_t>(one.heads)),
      sinks_bound_(wanted_sinks_) {
  dout_.fill(seed * 3 + 77, 1.0f);
  if (one.one_hot) dout_.fill_one_hot();
  expect();
}

void FlashBackwardProblem::expect() {
  for (int document = 0; document < static_cast<int>(inputs_.one.queries.size()); ++document) {
    for (int head = 0; head < inputs_.one.heads; ++head) {
      for (int query = 0; query < inputs_.queries(document); ++query) expect_query(document, head, query);
    }
  }
}

/// Also writes what forward gives: out, rounded, and lse. Bounds: weights, their gradients and results are rounded
/// once, to half a unit in the last place (2^-9, 2^-12), and delta is of the rounded out.
void FlashBackwardProblem::expect_query(int document, int head, int query) {
  const FlashCase& one = inputs_.one;
  const auto part = static_cast<std::size_t>(document), size = static_cast<std::size_t>(one.head_dim);
  const FlashWeights row = inputs_.weights(document, head, query);
  const std::int64_t q_row = inputs_.q_starts[part] + query;
  const int kv_head = inputs_.kv_head(head);
  const auto q_at = static_cast<std::size_t>((q_row * one.heads + head) * one.head_dim);
  inputs_.lse[inputs_.lse_index(document, head, query)] = static_cast<float>(row.lse);
  std::vector<double> q(size), dout(size), out(size);
  for (std::size_t d = 0; d < size; ++d) {
    q[d] = inputs_.q.at(q_row, head, static_cast<int>(d));
    dout[d] = dout_.at(q_row, head, static_cast<int>(d));
  }
  const bool sees = !std::isinf(row.lse);
  std::vector<double> dweights(row.weight.size());
  for (std::size_t i = 0; i < row.weight.size() && sees; ++i) {
    const std::int64_t key = inputs_.k_starts[part] + row.begin + static_cast<std::int64_t>(i);
    for (std::size_t d = 0; d < size; ++d) {
      const double v = inputs_.v.at(key, kv_head, static_cast<int>(d));
      dweights[i] += dout[d] * v;
      out[d] += row.weight[i] * row.kept[i] * v;
    }
  }
  const double rounding = one.type == Element::bf16 ? 0x1p-8 : 0x1p-11, tiny = one.type == Element::f16 ? 1e-5 : 1e-7;
  double delta = 0, delta_spread = 0;
  for (std::size_t d = 0; d < size; ++d) {
    inputs_.out.set(q_row, head, static_cast<int>(d), out[d]);
    delta += dout[d] * out[d];
    delta_spread += std::abs(dout[d] * out[d]);
  }
  if (one.sinks) {
    const auto index = static_cast<std::size_t>(head);
    const double weight = std::exp(static_cast<double>(inputs_.sinks[index]) - row.lse);
    wanted_sinks_[index] -= weight * delta;
    sinks_bound_[index] += weight * delta_spread * rounding;
  }
  for (std::size_t i = 0; i < row.weight.size() && sees; ++i) {
    const std::int64_t key = inputs_.k_starts[part] + row.begin + static_cast<std::int64_t>(i);
    const auto k_at = static_cast<std::size_t>((key * one.kv_heads + kv_head) * one.head_dim);
    const double weight = row.weight[i], kept = row.kept[i];
    const double factor = weight * row.derivative[i], dscore = factor * (kept * dweights[i] - delta);
    // Scores are sums in float32: 4e-6 of the largest, as in forward.
    const double off = std::abs(dscore) * (rounding + 8e-6 * row.largest) + factor * delta_spread * rounding +
                       std::abs(row.derivative[i]) * tiny;
    for (std::size_t d = 0; d < size; ++d) {
      const double k = inputs_.k.at(key, kv_head, static_cast<int>(d));
      wanted_v_.value[k_at + d] += weight * kept * dout[d];
      wanted_v_.bound[k_at + d] += (weight * kept * (rounding + 8e-6 * row.largest) + tiny) * std::abs(dout[d]);
      wanted_k_.value[k_at + d] += dscore * q[d];
      wanted_k_.bound[k_at + d] += off * std::abs(q[d]);
      wanted_q_.value[q_at + d] += dscore * k;
      wanted_q_.bound[q_at + d] += off * std::abs(k);
    }
  }
}

HostLauncher FlashBackwardProblem::run(cuda_on_host::Order order, std::int64_t traffic_block) {
  cuda::FlashBackwardParams params = sizes(inputs_);
  params.dout = dout_.data();
  params.dq = dq_.data(), params.dk = dk_.data(), params.dv = dv_.data();
  if (inputs_.one.sinks) params.dsinks = dsinks_.data();
  params.dout_strides = inputs_.q_strides(dout_), params.dq_strides = inputs_.q_strides(dq_);
  params.dk_strides = inputs_.k_strides(dk_), params.dv_strides = inputs_.k_strides(dv_);
  params.workspace = workspace_.data();
  memory_ = std::make_unique<GlobalMemory>();
  inputs_.add_inputs(*memory_);
  memory_->add(inputs_.out.data(), inputs_.out.bytes(), "out", Contents::input);
  memory_->add(inputs_.lse.data(), inputs_.lse.bytes(), "lse", Contents::input);
  memory_->add(dout_.data(), dout_.bytes(), "dout", Contents::input);
  memory_->add(dq_.data(), dq_.bytes(), "dq", Contents::output);
  memory_->add(dk_.data(), dk_.bytes(), "dk", Contents::output);
  memory_->add(dv_.data(), dv_.bytes(), "dv", Contents::output);
  memory_->add(dsinks_.data(), dsinks_.bytes(), "dsinks", Contents::output);
  memory_->add(workspace_.data(), workspace_.bytes(), "workspace", Contents::output);
  HostLauncher launcher(*memory_, order, inputs_.seed);
  launcher.count_traffic(traffic_block);
  bytes_.clear();
  launcher.after_launch = [&] {
    for (const char* name : {"q", "k", "v", "out", "lse", "dout", "dq", "dk", "dv", "workspace"}) {
      const cuda_on_host::GlobalBuffer& buffer = memory_->named(name);
      bytes_[name].read += buffer.bytes_read;
      bytes_[name].written += buffer.bytes_written;
    }
  };
  cuda::flash_backward_on_host(launcher, params);
  launcher.after_launch = {};
  return launcher;
}

std::string FlashBackwardProblem::wrong(const char* name, const GappedTensor& found, const Expected& expected) const {
  const bool queries = &found == &dq_;
  const int heads = queries ? inputs_.one.heads : inputs_.one.kv_heads, head_dim = inputs_.one.head_dim;
  const int rows = queries ? inputs_.q_starts.back() : inputs_.k_starts.back();
  const double rounding = inputs_.one.type == Element::bf16 ? 0x1p-8 : 0x1p-11;
  std::ostringstream out;
  for (std::size_t i = 0; i < expected.value.size(); ++i) {
    const int at = static_cast<int>(i), row = at / head_dim / heads, head = at / head_dim % heads, d = at % head_dim;
    const double value = found.at(row, head, d), wanted = expected.value[i];
    const double bound = expected.bound[i] + rounding * std::abs(wanted) + 1e-7;
    if (std::abs(value - wanted) <= bound) continue;
    out << name << " of row " << row << " head " << head << " at " << d << ": " << value << ", expected " << wanted
        << " within " << bound;
    return out.str();
  }
  const std::size_t unwritten = memory_->named(name).shadow.unwritten();
  if (unwritten != (rows == 0 ? found.bytes() : found.gap_bytes())) {
    out << name << " has holes, or its gaps were written";
  }
  return out.str();
}

std::string FlashBackwardProblem::wrong() const {
  std::string said = wrong("dv", dv_, wanted_v_);
  if (said.empty()) said = wrong("dk", dk_, wanted_k_);
  if (said.empty()) said = wrong("dq", dq_, wanted_q_);
  for (std::size_t head = 0; inputs_.one.sinks && head < wanted_sinks_.size() && said.empty(); ++head) {
    const double found = static_cast<double>(dsinks_[head]);
    if (!(std::abs(found - wanted_sinks_[head]) <= sinks_bound_[head] + 1e-5 * (1 + std::abs(wanted_sinks_[head])))) {
      said = "dsinks of head " + std::to_string(head) + ": " + std::to_string(found) + ", expected " +
             std::to_string(wanted_sinks_[head]);
    }
  }
  return said;
}

int FlashBackwardProblem::wrong_masks() const {
  int wrong = 0;
  for (int head = 0; head < inputs_.one.heads; ++head) {
    for (int query = 0; query < inputs_.queries(0); ++query) {
      const FlashWeights row = inputs_.weights(0, head, query);
      for (std::size_t i = 0; i < row.kept.size(); ++i) {
        wrong += (dv_.at(row.begin + static_cast<int>(i), head, query) == 0) != (row.kept[i] == 0);
      }
    }
  }
  return wrong;
}

bool FlashBackwardProblem::same_results(const FlashBackwardProblem& other) const {
  const auto same = [](const GappedTensor& a, const GappedTensor& b) {
    return std::memcmp(a.data(), b.data(), a.bytes()) == 0;
  };
  return same(dq_, other.dq_) && same(dk_, other.dk_) && same(dv_, other.dv_);
}

}  // namespace powerhouse::testing
