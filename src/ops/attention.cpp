#include "ops/attention.h"

#include <ATen/ops/scaled_dot_product_attention_ops.h>

#include <limits>

#include "kernels/cpu/kernels.h"
#include "ops/tensors.h"
#include "support/thread_team.h"

namespace powerhouse::ops {
namespace {

// True where a query row may look: row i of `rows` sees the first total - rows + i + 1 keys.
at::Tensor bottom_right_mask(std::int64_t rows, std::int64_t total) {
  at::Tensor mask = empty_tensor({rows, total}, at::kBool);
  bool* allowed = mask.data_ptr<bool>();
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t visible = total - rows + row + 1;
    std::fill(allowed + row * total, allowed + row * total + visible, true);
    std::fill(allowed + row * total + visible, allowed + (row + 1) * total, false);
  }
  return mask;
}

// [tokens, kv_heads, head_dim] as [1, heads, tokens, head_dim], each key-value head shown to its group of query heads.
at::Tensor heads_first(const at::Tensor& x, std::int64_t heads) {
  const std::int64_t group = heads / x.size(1);
  at::Tensor out = x.transpose(0, 1);
  if (group > 1) out = out.unsqueeze(1).expand({x.size(1), group, x.size(0), x.size(2)}).flatten(0, 1);
  return out.unsqueeze(0);
}

// LibTorch's flash attention on the CPU makes zeros, not NaN, of rows whose scores are all NaN: broken weights would go
// unnoticed. Looking costs about 20 us a layer at 512 tokens of 576.
bool scores_are_broken(const at::Tensor& query, const at::Tensor& key) {
  if (needs_autograd(query, key) || !is_kernel_tensor(query)) return false;
  for (const at::Tensor* tensor : {&query, &key}) {
    const at::Tensor values = tensor->contiguous();
    const Element type = to_element(values.scalar_type());
    if (cpu::kernels().first_not_finite(values.const_data_ptr(), type, 0, values.numel()) >= 0) return true;
  }
  return false;
}

}  // namespace

at::Tensor causal_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, float scale) {
  const std::int64_t rows = query.size(0);
  const std::int64_t heads = query.size(1);
  const std::int64_t total = key.size(0);
  if (scores_are_broken(query, key)) {
    return query.new_empty({rows, heads * value.size(2)}).fill_(std::numeric_limits<double>::quiet_NaN());
  }
  const bool square = rows == total;  // LibTorch's is_causal aligns top left: right only for a square
  std::optional<at::Tensor> mask;
  if (!square && rows > 1) mask = bottom_right_mask(rows, total).to(query.device());
  const at::Tensor out = at::_ops::scaled_dot_product_attention::call(
      heads_first(query, heads), heads_first(key, heads), heads_first(value, heads), mask, /*dropout_p=*/0.0,
      /*is_causal=*/square && rows > 1, /*scale=*/static_cast<double>(scale), /*enable_gqa=*/false);
  return out.squeeze(0).transpose(0, 1).reshape({rows, heads * value.size(2)});
}

void paged_attention(const at::Tensor& query, std::span<const PagedSequence> sequences, at::ScalarType cache_type,
                     std::int64_t num_key_value_heads, std::int64_t page_tokens, float scale, at::Tensor& out) {
  const std::int64_t heads = query.size(1);
  const std::int64_t head_dim = query.size(2);
  const auto bytes = static_cast<std::int64_t>(query.element_size());
  std::vector<cpu::AttentionRow> rows;
  std::int64_t visible = 0;
  for (const PagedSequence& sequence : sequences) {
    for (std::int64_t i = 0; i < sequence.rows; ++i) {
      const std::int64_t row = sequence.first_row + i;
      rows.push_back({.q = static_cast<const char*>(query.const_data_ptr()) + row * query.stride(0) * bytes,
                      .out = static_cast<char*>(out.mutable_data_ptr()) + row * out.stride(0) * bytes,
                      .key_pages = sequence.key_pages.data(),
                      .value_pages = sequence.value_pages.data(),
                      .end = sequence.length - sequence.rows + i + 1});
      visible += rows.back().end;
    }
  }
  const cpu::AttentionParams params{.type = to_element(query.scalar_type()),
                                    .cache_type = to_element(cache_type),
                                    .rows = rows.data(),
                                    .num_kv_heads = num_key_value_heads,
                                    .group = heads / num_key_value_heads,
                                    .head_dim = head_dim,
                                    .page_tokens = page_tokens,
                                    .token_stride = num_key_value_heads * head_dim,
                                    .kv_head_stride = head_dim,
                                    .q_head_stride = query.stride(1),
                                    .out_head_stride = head_dim,
                                    .scale = scale};
  const auto items = static_cast<std::int64_t>(rows.size()) * num_key_value_heads;
  // Few keys are attended faster than a second thread wakes.
  const std::int64_t grain = visible * head_dim < 16384 ? items : 1;
  const auto kernel = cpu::kernels().attention;
  parallel_for(items, grain, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> scratch(static_cast<std::size_t>(cpu::attention_scratch_floats(params.group, head_dim)));
    kernel(params, begin, end, scratch.data());
  });
}

}  // namespace powerhouse::ops
