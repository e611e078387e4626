// One problem of attention: its tensors, what flash attention is told of it, and its definition in LibTorch.
#pragma once

#include "gpu_check/checks.h"
#include "kernels/cuda/flash_attention/backward_params.h"

namespace powerhouse::gpu_check {

struct FlashCase {
  at::ScalarType type = at::kBFloat16;
  int batch = 1, heads = 1, kv_heads = 1, head_dim = 64, queries = 1, keys = 1;
  int left = -1, right = -1;
  float softcap = 0;
  bool alibi = false, sinks = false, packed = false;
};
std::string name_of(const FlashCase& c);

/// The cases that the check runs: both types, all tiles' head sizes, and every option.
std::vector<FlashCase> flash_cases(bool small);

/// Tensors [batch, rows, heads, head_dim] on the CPU; with `packed` the batch's documents have lengths of their own,
/// one of them none, and lie in the rows of one document.
struct FlashProblem {
  FlashCase c;
  std::vector<std::int32_t> query_starts, key_starts;  // [batch + 1]
  at::Tensor q, k, v, dout, slopes, sinks;             // [rows, heads, head_dim]
  explicit FlashProblem(const FlashCase& c);

  float scale() const { return 0.9f / std::sqrt(static_cast<float>(c.head_dim)); }
  /// [rows, heads, head_dim], [heads, rows] and gradients, of the definition.
  struct Definition {
    at::Tensor out, lse, dq, dk, dv, dsinks;
  };
  Definition definition(const Machine& machine, at::ScalarType to, bool gradients) const;

 private:
  at::Tensor attend(int document, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const at::Tensor& slopes, const at::Tensor& sinks, at::Tensor& lse) const;
};

/// The same on the device, and the arguments that name it.
struct FlashOnDevice {
  at::Tensor q, k, v, slopes, sinks, query_starts, key_starts, out, lse;
  cuda::FlashForwardParams params{};
  FlashOnDevice(const Machine& machine, const FlashProblem& problem);
};

}  // namespace powerhouse::gpu_check
