// What flash attention's node tells the kernels of the CPU (flash_attention.cpp) and of a device (device_flash.cpp).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "ops/attention.h"
#include "ops/device_documents.h"

namespace powerhouse::ops {

struct FlashPlan {
  std::vector<std::int64_t> cu_seqlens;
  std::vector<std::int64_t> prefixes;
  AttentionRule rule;  // without sinks
  std::vector<float> slopes;
  DeviceDocuments documents{};  // and rule.device_slopes: where the tensors are on a device
};

struct FlashInputs {
  at::Tensor query, key, value, sinks;  // float32 sinks, or undefined
};

struct Attended {
  at::Tensor out;  // [rows, heads * head_dim]
  at::Tensor lse;  // [heads, rows]
};

struct FlashGradients {
  at::Tensor query, key, value, sinks;  // sinks in float32, where they are wanted
};

/// Whether a device has kernels for such queries, keys and values under the rule.
bool device_takes(const at::Tensor& query, const at::Tensor& key, const AttentionRule& rule, std::size_t documents,
                  bool gradients);
Attended attend_on_device(const FlashInputs& in, const FlashPlan& plan);
FlashGradients gradients_on_device(const FlashInputs& in, const FlashPlan& plan, const Attended& attended,
                                   const at::Tensor& dout, bool want_sinks);

}  // namespace powerhouse::ops
