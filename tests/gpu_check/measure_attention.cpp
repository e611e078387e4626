// Flash attention's time beside LibTorch's FlashAttention and cuDNN's, in the same process on the same tensors.
#include "gpu_check/checks.h"
#include "gpu_check/flash_problem.h"
#include "gpu_check/timer.h"

namespace powerhouse::gpu_check {

namespace {

struct Shape {
  std::int64_t batch, heads, kv_heads, length, head_dim;
  bool causal;
};
constexpr Shape kShapes[] = {{4, 16, 16, 2048, 128, true}, {2, 16, 16, 8192, 128, true}, {2, 16, 16, 8192, 128, false},
                             {8, 32, 8, 2048, 128, true},  {4, 32, 32, 2048, 64, true},  {2, 32, 32, 8192, 64, true},
                             {2, 32, 32, 8192, 64, false}, {16, 9, 3, 1024, 64, true},   {2, 8, 8, 4096, 256, true}};

// One problem, [batch, length, heads, head_dim] as ours has it; LibTorch's functions get views.
struct Problem {
  at::Tensor q, k, v, dout, out, lse, dq, dk, dv, workspace;
  cuda::FlashBackwardParams params{};

  Problem(const Machine& machine, const Shape& s) {
    const auto make = [&](std::int64_t heads, std::uint64_t seed) {
      return there(machine, noise({s.batch, s.length, heads, s.head_dim}, at::kBFloat16, seed));
    };
    q = make(s.heads, 1);
    k = make(s.kv_heads, 2);
    v = make(s.kv_heads, 3);
    dout = make(s.heads, 4);
    out = at::empty_like(q);
    dq = at::empty_like(q);
    dk = at::empty_like(k);
    dv = at::empty_like(v);
    lse = empty_there(machine, {s.batch, s.heads, s.length}, at::kFloat);
    const auto strides = [&](std::int64_t heads) {
      return cuda::VectorStrides{.batch = s.length * heads * s.head_dim, .row = heads * s.head_dim, .head = s.head_dim};
    };
    params = {.forward = {.q = q.data_ptr(),
                          .k = k.data_ptr(),
                          .v = v.data_ptr(),
                          .out = out.data_ptr(),
                          .lse = lse.data_ptr<float>(),
                          .q_strides = strides(s.heads),
                          .k_strides = strides(s.kv_heads),
                          .v_strides = strides(s.kv_heads),
                          .out_strides = strides(s.heads),
                          .lse_batch_stride = s.heads * s.length,
                          .lse_head_stride = s.length,
                          .batch = static_cast<int>(s.batch),
                          .heads = static_cast<int>(s.heads),
                          .kv_heads = static_cast<int>(s.kv_heads),
                          .head_dim = static_cast<int>(s.head_dim),
                          .queries = static_cast<int>(s.length),
                          .keys = static_cast<int>(s.length),
                          .scale = 1.0f / std::sqrt(static_cast<float>(s.head_dim)),
                          .window_right = s.causal ? 0 : -1,
                          .type = Element::bf16},
              .dout = dout.data_ptr(),
              .dq = dq.data_ptr(),
              .dk = dk.data_ptr(),
              .dv = dv.data_ptr(),
              .dout_strides = strides(s.heads),
              .dq_strides = strides(s.heads),
              .dk_strides = strides(s.kv_heads),
              .dv_strides = strides(s.kv_heads)};
    workspace = empty_there(machine, {cuda::flash_backward_floats(params)}, at::kFloat);
    params.workspace = workspace.data_ptr<float>();
  }
};

// [batch, heads, length, head_dim], key-value heads once for each query head: LibTorch's backward knows no groups.
at::Tensor by_head(const at::Tensor& x, std::int64_t heads) {
  return x.repeat_interleave(heads / x.size(2), 2).transpose(1, 2);
}

void line(Report& report, const Shape& s, const std::string& what, const std::string& peer, double ours, double theirs,
          double products) {
  // Two products of length x length x head_dim forward, five backward; causal ones half of them.
  const double flops = 2.0 * products * static_cast<double>(s.batch * s.heads * s.length * s.length * s.head_dim) *
                       (s.causal ? 0.5 : 1.0);
  const std::string shape = "B" + std::to_string(s.batch) + " H" + std::to_string(s.heads) + "/" +
                            std::to_string(s.kv_heads) + " T" + std::to_string(s.length) + " D" +
                            std::to_string(s.head_dim) + (s.causal ? " causal" : " whole");
  report.line("speed", {{"what", what}, {"shape", shape}, {"peer", peer}},
              {{"seconds", ours}, {"peer_seconds", theirs}, {"ratio", theirs / ours}, {"flops", flops}});
}

// What a peer takes, or why it can't be asked.
void against(Report& report, const Machine& machine, const Shape& s, const std::string& what, const std::string& peer,
             double ours, double products, const std::function<std::function<void(int)>()>& prepare) {
  try {
    line(report, s, what, peer, ours, seconds_of(machine, prepare()), products);
  } catch (const std::exception& error) {
    report.left_out(what + ", " + peer, error.what());
  }
}

void measure(Report& report, const Machine& machine, const Shape& s) {
  const Problem p(machine, s);
  const ops::DeviceKernels kernels(machine.device);
  const double forward = seconds_of(machine, [&](int) {
    if (!kernels.launch(&cuda::KernelTable::flash_forward, p.params.forward)) throw std::runtime_error("no kernel");
  });
  const double backward = seconds_of(machine, [&](int) {
    if (!kernels.launch(&cuda::KernelTable::flash_backward, p.params)) throw std::runtime_error("no kernel");
  });
  const double scale = p.params.forward.scale;
  against(report, machine, s, "attention forward", "LibTorch FlashAttention", forward, 2, [&] {
    return [&](int) {
      at::_flash_attention_forward(p.q, p.k, p.v, {}, {}, s.length, s.length, 0.0, s.causal, false, scale);
    };
  });
  const at::Tensor q = by_head(p.q, s.heads), k = by_head(p.k, s.heads), v = by_head(p.v, s.heads),
                   dout = by_head(p.dout, s.heads);
  against(report, machine, s, "attention forward", "cuDNN", forward, 2, [&] {
    return [&](int) { at::_scaled_dot_product_cudnn_attention(q, k, v, {}, true, 0.0, s.causal, false, scale); };
  });
  against(report, machine, s, "attention backward", "LibTorch FlashAttention", backward, 5, [&] {
    const auto saved = at::_scaled_dot_product_flash_attention(q, k, v, 0.0, s.causal, false, scale);
    return [=](int) {
      at::_scaled_dot_product_flash_attention_backward(dout, q, k, v, std::get<0>(saved), std::get<1>(saved),
                                                       std::get<2>(saved), std::get<3>(saved),
                                                       std::get<4>(saved).expect_int(), std::get<5>(saved).expect_int(),
                                                       0.0, s.causal, std::get<6>(saved), std::get<7>(saved), scale);
    };
  });
  against(report, machine, s, "attention backward", "cuDNN", backward, 5, [&] {
    const auto saved = at::_scaled_dot_product_cudnn_attention(q, k, v, {}, true, 0.0, s.causal, false, scale);
    return [=](int) {
      at::_scaled_dot_product_cudnn_attention_backward(dout, q, k, v, std::get<0>(saved), std::get<1>(saved),
                                                       std::get<6>(saved), std::get<7>(saved), {}, std::get<2>(saved),
                                                       std::get<3>(saved), std::get<4>(saved).expect_int(),
                                                       std::get<5>(saved).expect_int(), 0.0, s.causal, scale);
    };
  });
}

}  // namespace

void measure_attention(Report& report, const Machine& machine) {
  const c10::AutoGradMode off(false);
  for (const Shape& shape : kShapes) measure(report, machine, shape);
}

}  // namespace powerhouse::gpu_check
