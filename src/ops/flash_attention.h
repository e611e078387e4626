// Causal attention over packed documents that autograd differentiates by our own kernels.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "ops/attention.h"
#include "ops/device_documents.h"

namespace powerhouse::ops {

/// query [rows, heads, head_dim] attends key and value [rows, kv_heads, head_dim], each row the rows of its own
/// document up to itself: document i is rows cu_seqlens[i] .. cu_seqlens[i + 1], from 0 to `rows`. Returns [rows,
/// heads * head_dim]. Differentiable in query, key, value and the rule's sinks; a gradient across documents is exactly
/// zero. Where document i continues another, `prefixes[i]`, that stands before it and continues none itself (-1: none;
/// empty: no document does), its rows see all rows of that one, then their own, as if they stood behind it; the
/// gradients of keys and values that several documents see add up, in the order of documents. For backward it keeps
/// query, key, value, the result and one float32 a row and head (Dao 2023). Sums are float32, in an order that no
/// number of threads changes; with bf16 and the instructions for it, weights and the gradients of scores are rounded to
/// bf16. On a device the kernels take bf16 and f16 and head sizes that are multiples of 8 up to 256; `documents` are
/// the same cu_seqlens and prefixes as its kernels read them, where they have been made already. Float64, and what the
/// kernels do not know, goes through causal_attention, document by document.
at::Tensor flash_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                           std::span<const std::int64_t> cu_seqlens, const AttentionRule& rule,
                           std::span<const std::int64_t> prefixes = {}, const DeviceDocuments& documents = {});

}  // namespace powerhouse::ops
