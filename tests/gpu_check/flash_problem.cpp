#include "gpu_check/flash_problem.h"

#include <cmath>
#include <limits>

namespace powerhouse::gpu_check {

std::string name_of(const FlashCase& c) {
  std::string name = std::string(at::toString(c.type)) + " B" + std::to_string(c.batch) + " H" +
                     std::to_string(c.heads) + "/" + std::to_string(c.kv_heads) + " D" + std::to_string(c.head_dim) +
                     " " + std::to_string(c.queries) + "x" + std::to_string(c.keys);
  if (c.left >= 0) name += " left " + std::to_string(c.left);
  if (c.right >= 0) name += " right " + std::to_string(c.right);
  if (c.softcap > 0) name += " softcap";
  if (c.alibi) name += " alibi";
  if (c.sinks) name += " sinks";
  if (c.packed) name += " packed";
  return name;
}

std::vector<FlashCase> flash_cases(bool small) {
  std::vector<FlashCase> cases;
  const std::vector<int> sizes = small ? std::vector<int>{16, 32} : std::vector<int>{32, 40, 64, 80, 96, 128, 192, 256};
  for (const at::ScalarType type : kHalfTypes) {
    for (const int d : sizes) {
      const int t = small ? 70 : 420;  // enough keys for Hopper's kernel
      const FlashCase base{.type = type, .batch = 2, .heads = 4, .kv_heads = 2, .head_dim = d, .queries = t, .keys = t};
      FlashCase c = base;
      cases.push_back(c);  // whole
      c.right = 0;
      cases.push_back(c);  // causal
      c.queries = t / 3;
      cases.push_back(c);  // with a past
      c.left = t / 5;
      cases.push_back(c);  // and a window
      c = base;
      c.right = 0;
      c.softcap = 20;
      cases.push_back(c);
      c.alibi = true;
      cases.push_back(c);
      c = base;
      c.right = 0;
      c.sinks = true;
      c.packed = true;
      cases.push_back(c);
      c = base;
      c.queries = 1;
      c.heads = 8;
      c.kv_heads = 1;
      cases.push_back(c);
    }
    if (!small) {
      cases.push_back({.type = type,
                       .batch = 1,
                       .heads = 8,
                       .kv_heads = 2,
                       .head_dim = 128,
                       .queries = 2048,
                       .keys = 2048,
                       .right = 0});
      cases.push_back({.type = type,
                       .batch = 1,
                       .heads = 4,
                       .kv_heads = 4,
                       .head_dim = 64,
                       .queries = 4097,
                       .keys = 4097,
                       .left = 1000,
                       .right = 0});
      // More than a second cache holds: Hopper's kernel takes its tiles in pairs.
      for (const bool packed : {false, true}) {
        cases.push_back({.type = type,
                         .batch = 2,
                         .heads = 32,
                         .kv_heads = 16,
                         .head_dim = 128,
                         .queries = 2400,
                         .keys = 2400,
                         .right = 0,
                         .packed = packed});
      }
    }
  }
  return cases;
}

FlashProblem::FlashProblem(const FlashCase& of) : c(of) {
  query_starts = {0};
  key_starts = {0};
  for (int i = 0; i < c.batch; ++i) {
    const bool shorter = c.packed && i % 2 == 1;
    query_starts.push_back(query_starts.back() + (shorter ? c.queries / 3 : c.queries));
    key_starts.push_back(key_starts.back() + (shorter ? c.keys / 2 : c.keys));
  }
  q = noise({query_starts.back(), c.heads, c.head_dim}, c.type, 1);
  k = noise({key_starts.back(), c.kv_heads, c.head_dim}, c.type, 2);
  v = noise({key_starts.back(), c.kv_heads, c.head_dim}, c.type, 3);
  dout = noise({query_starts.back(), c.heads, c.head_dim}, c.type, 4);
  slopes = noise({c.heads}, at::kFloat, 5).abs().mul(0.05);
  sinks = noise({c.heads}, at::kFloat, 6);
}

// One document, [queries, heads, head_dim]: LibTorch's products and softmax, with everything spelled out.
at::Tensor FlashProblem::attend(int document, const at::Tensor& q_all, const at::Tensor& k_all, const at::Tensor& v_all,
                                const at::Tensor& slope, const at::Tensor& sink, at::Tensor& lse) const {
  const auto part = static_cast<std::size_t>(document);
  const at::Tensor q_of = q_all.slice(0, query_starts[part], query_starts[part + 1]).transpose(0, 1);
  const auto of_keys = [&](const at::Tensor& all) {
    return all.slice(0, key_starts[part], key_starts[part + 1])
        .transpose(0, 1)
        .repeat_interleave(c.heads / c.kv_heads, 0);
  };
  const std::int64_t rows = q_of.size(1), count = key_starts[part + 1] - key_starts[part];
  const auto options = at::TensorOptions().device(q_all.device()).dtype(at::kLong);
  const at::Tensor place = at::arange(rows, options).add(count - rows).unsqueeze(1), key = at::arange(count, options);
  const at::Tensor distance = key.sub(place);  // [queries, keys]
  at::Tensor scores = at::matmul(q_of, of_keys(k_all).transpose(1, 2)).mul(static_cast<double>(scale()));
  if (c.softcap > 0) scores = scores.div(c.softcap).tanh().mul(c.softcap);
  if (c.alibi) scores = scores.add(slope.view({-1, 1, 1}).mul(distance.to(scores.scalar_type())));
  at::Tensor hidden = at::zeros_like(distance, at::TensorOptions().dtype(at::kBool));
  if (c.right >= 0) hidden = hidden.logical_or(distance.gt(c.right));
  if (c.left >= 0) hidden = hidden.logical_or(distance.lt(-c.left));
  // Far below any score, but finite: rows that see nothing then have gradients of 0 instead of NaN.
  scores = scores.masked_fill(hidden, -1e30);
  const at::Tensor all = c.sinks ? at::cat({scores, sink.view({-1, 1, 1}).expand({c.heads, rows, 1})}, 2) : scores;
  const at::Tensor sees = hidden.logical_not().any(1).view({1, -1, 1});
  const at::Tensor weights = at::softmax(all, 2).slice(2, 0, count).mul(sees);
  const at::Tensor log_sum = at::logsumexp(all, 2);
  lse =
      c.sinks ? log_sum : log_sum.masked_fill(sees.squeeze(2).logical_not(), -std::numeric_limits<double>::infinity());
  return at::matmul(weights, of_keys(v_all)).transpose(0, 1);
}

FlashProblem::Definition FlashProblem::definition(const Machine& machine, at::ScalarType to, bool gradients) const {
  const auto leaf = [&](const at::Tensor& x) {
    return wide(machine, x, to).detach().clone().set_requires_grad(gradients);
  };
  const at::Tensor q_ = leaf(q), k_ = leaf(k), v_ = leaf(v), sinks_ = leaf(sinks), slopes_ = wide(machine, slopes, to);
  std::vector<at::Tensor> outs, sums;
  for (int document = 0; document < c.batch; ++document) {
    at::Tensor lse;
    outs.push_back(attend(document, q_, k_, v_, slopes_, sinks_, lse));
    sums.push_back(lse);
  }
  const at::Tensor out = at::cat(outs, 0);
  Definition d{out.detach(), at::cat(sums, 1).detach()};
  if (!gradients) return d;
  out.backward(wide(machine, dout, to));
  d.dq = q_.grad();
  d.dk = k_.grad();
  d.dv = v_.grad();
  if (c.sinks) d.dsinks = sinks_.grad();
  return d;
}

FlashOnDevice::FlashOnDevice(const Machine& machine, const FlashProblem& problem) {
  const FlashCase& c = problem.c;
  q = there(machine, problem.q);
  k = there(machine, problem.k);
  v = there(machine, problem.v);
  slopes = there(machine, problem.slopes);
  sinks = there(machine, problem.sinks);
  query_starts = values_there(machine, problem.query_starts);
  key_starts = values_there(machine, problem.key_starts);
  out = at::empty_like(q);
  lse = empty_there(machine, {c.heads, q.size(0)}, at::kFloat);
  const auto strides = [](std::int64_t rows, std::int64_t heads, std::int64_t size) {
    return cuda::VectorStrides{.batch = rows * heads * size, .row = heads * size, .head = size};
  };
  params = {.q = q.data_ptr(),
            .k = k.data_ptr(),
            .v = v.data_ptr(),
            .out = out.data_ptr(),
            .lse = lse.data_ptr<float>(),
            .q_strides = strides(c.queries, c.heads, c.head_dim),
            .k_strides = strides(c.keys, c.kv_heads, c.head_dim),
            .v_strides = strides(c.keys, c.kv_heads, c.head_dim),
            .out_strides = strides(c.queries, c.heads, c.head_dim),
            .lse_batch_stride = c.queries,
            .lse_head_stride = q.size(0),
            .batch = c.batch,
            .heads = c.heads,
            .kv_heads = c.kv_heads,
            .head_dim = c.head_dim,
            .queries = c.queries,
            .keys = c.keys,
            .cu_seqlens_q = c.packed ? static_cast<const std::int32_t*>(query_starts.data_ptr()) : nullptr,
            .cu_seqlens_k = c.packed ? static_cast<const std::int32_t*>(key_starts.data_ptr()) : nullptr,
            .scale = problem.scale(),
            .softcap = c.softcap,
            .window_left = c.left,
            .window_right = c.right,
            .alibi_slopes = c.alibi ? slopes.data_ptr<float>() : nullptr,
            .sinks = c.sinks ? sinks.data_ptr<float>() : nullptr,
            .type = element(c.type)};
}

}  // namespace powerhouse::gpu_check
