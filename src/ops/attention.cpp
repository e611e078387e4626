#include "ops/attention.h"

#include <ATen/ops/scaled_dot_product_attention_ops.h>

#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "ops/attention_parts.h"
#include "ops/tensors.h"
#include "support/thread_team.h"

namespace powerhouse::ops {
namespace {

// True where a query row may look: row i of `rows` sees the first total - rows + i + 1 keys, or the last `window` of
// them.
at::Tensor bottom_right_mask(std::int64_t rows, std::int64_t total, std::int64_t window) {
  at::Tensor mask = empty_tensor({rows, total}, at::kBool);
  bool* allowed = mask.data_ptr<bool>();
  std::fill(allowed, allowed + rows * total, false);
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t end = total - rows + row + 1;
    const std::int64_t begin = window > 0 ? std::max<std::int64_t>(0, end - window) : 0;
    std::fill(allowed + row * total + begin, allowed + row * total + end, true);
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

template <typename T>
T* offset(T* base, std::int64_t elements, const at::Tensor& of) {
  using Byte = std::conditional_t<std::is_const_v<T>, const char, char>;
  return static_cast<Byte*>(base) + elements * static_cast<std::int64_t>(of.element_size());
}

// Slopes of the next power of two, of which every second one comes first where heads are no power of two.
std::vector<float> slopes_of(const Alibi& alibi, std::int64_t heads) {
  std::int64_t power = 1;
  while (power < heads) power *= 2;
  std::vector<float> slopes;
  const auto add = [&](std::int64_t first, std::int64_t step) {
    for (std::int64_t i = first; i <= power; i += step) {
      const double exponent =
          -static_cast<double>(alibi.bias_max) * static_cast<double>(i) / static_cast<double>(power);
      slopes.push_back(static_cast<float>(std::exp2(exponent)));
    }
  };
  if (power == heads) {
    add(1, 1);
  } else {
    add(2, 2);
    add(1, 2);
  }
  slopes.resize(static_cast<std::size_t>(heads));
  return slopes;
}

// What the kernels read for each head.
struct PerHead {
  std::vector<float> slopes;
  at::Tensor sinks;

  PerHead(const AttentionRule& rule, std::int64_t heads) {
    if (rule.sinks.defined()) sinks = rule.sinks.to(at::kFloat).contiguous();
    if (rule.alibi) slopes = alibi_slopes(*rule.alibi, heads, rule.scale);
  }
};

cpu::AttentionShape shape_of(const at::Tensor& query, const PageLayout& layout, const AttentionRule& rule,
                             const PerHead& per_head) {
  const std::int64_t head_dim = query.size(2);
  return {.type = to_element(query.scalar_type()),
          .key_type = layout.key_type,
          .value_type = layout.value_type,
          .num_kv_heads = layout.num_key_value_heads,
          .group = query.size(1) / layout.num_key_value_heads,
          .head_dim = head_dim,
          .page_tokens = layout.page_tokens,
          .page_offset = layout.page_offset,
          .token_stride = layout.num_key_value_heads * head_dim,
          .kv_head_stride = head_dim,
          .q_head_stride = query.stride(1),
          .out_head_stride = head_dim,
          .scale = rule.scale,
          .softcap = rule.softcap,
          .alibi_slopes = per_head.slopes.empty() ? nullptr : per_head.slopes.data(),
          .alibi_in_bf16 = rule.alibi && rule.alibi->bf16_rounding,
          .sinks = per_head.sinks.defined() ? per_head.sinks.const_data_ptr<float>() : nullptr};
}

// The kernel on all threads, each with scratch of its own.
template <typename Params>
void attend(void (*kernel)(const Params&, std::int64_t, std::int64_t, float*), const Params& params, std::int64_t items,
            std::int64_t grain, std::int64_t scratch_floats) {
  parallel_for(items, grain, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> scratch(static_cast<std::size_t>(scratch_floats));
    kernel(params, begin, end, scratch.data());
  });
}

cpu::AttentionRow row_of(const at::Tensor& query, const PagedSequence& sequence, std::int64_t i, std::int64_t window,
                         at::Tensor& out) {
  const std::int64_t number = sequence.first_row + i;
  cpu::AttentionRow row = row_at(sequence.length - sequence.rows + i, window);
  row.q = offset(query.const_data_ptr(), number * query.stride(0), query);
  row.out = offset(out.mutable_data_ptr(), number * out.stride(0), out);
  row.key_pages = sequence.key_pages.data();
  row.value_pages = sequence.value_pages.data();
  return row;
}

// Every row by itself: of all rows at once the parts would take much room.
void attend_alone(const at::Tensor& query, std::span<const PagedSequence> sequences, const cpu::AttentionShape& shape,
                  std::int64_t window, at::Tensor& out) {
  const std::int64_t workers = team_threads();
  parallel_for(workers, 1, [&](std::int64_t first, std::int64_t last) {
    std::vector<float> scratch(static_cast<std::size_t>(cpu::attention_scratch_floats(shape.group, shape.head_dim)));
    AttentionParts parts;
    std::int64_t number = 0;  // rows take turns, since later ones see more
    for (const PagedSequence& sequence : sequences) {
      for (std::int64_t i = 0; i < sequence.rows; ++i, ++number) {
        if (number % workers < first || number % workers >= last) continue;
        parts.attend(shape, row_of(query, sequence, i, window, out), scratch.data());
      }
    }
  });
}

void attend_rows(const at::Tensor& query, const std::vector<const PagedSequence*>& sequences,
                 const cpu::AttentionShape& shape, std::int64_t window, at::Tensor& out) {
  const std::int64_t heads = query.size(1);
  AttentionParts parts;
  parts.begin(shape.num_kv_heads, heads, shape.head_dim);
  std::int64_t visible = 0;
  for (const PagedSequence* sequence : sequences) {
    for (std::int64_t i = 0; i < sequence->rows; ++i) {
      const cpu::AttentionRow row = row_of(query, *sequence, i, window, out);
      parts.add(row);
      visible += row.end - row.begin;
    }
  }
  parts.end();
  const cpu::AttentionParams params{shape, parts.rows()};
  // Few keys are attended faster than a second thread wakes.
  const std::int64_t workers = visible * shape.head_dim < 16384 ? 1 : team_threads();
  parallel_for(workers, 1, [&](std::int64_t first, std::int64_t last) {
    std::vector<float> scratch(static_cast<std::size_t>(cpu::attention_scratch_floats(shape.group, shape.head_dim)));
    const std::int64_t begin = parts.share_of(static_cast<int>(first), static_cast<int>(workers)).begin;
    const std::int64_t end = parts.share_of(static_cast<int>(last - 1), static_cast<int>(workers)).end;
    if (begin < end) cpu::kernels().attention(params, begin, end, scratch.data());
  });
  if (!parts.cut()) return;
  cpu::kernels().merge_attention({.type = shape.type,
                                  .num_heads = heads,
                                  .head_dim = shape.head_dim,
                                  .out_head_stride = shape.out_head_stride,
                                  .sinks = shape.sinks,
                                  .rows = parts.merges()},
                                 0, parts.merge_items());
}

void attend_tiles(const at::Tensor& query, const PagedSequence& sequence, const cpu::AttentionShape& shape,
                  std::int64_t window, at::Tensor& out) {
  cpu::PrefillParams params{shape};
  params.window = window;
  params.q = offset(query.const_data_ptr(), sequence.first_row * query.stride(0), query);
  params.out = offset(out.mutable_data_ptr(), sequence.first_row * out.stride(0), out);
  params.key_pages = sequence.key_pages.data();
  params.value_pages = sequence.value_pages.data();
  params.rows = sequence.rows;
  params.length = sequence.length;
  params.q_row_stride = query.stride(0);
  params.out_row_stride = out.stride(0);
  attend(cpu::kernels().prefill_attention, params, cpu::prefill_items(params), 1,
         cpu::prefill_scratch_floats(shape.group, shape.head_dim));
}

// ALiBi as a table [heads, length]: slope * position of the key. What depends on the query alone cancels in softmax.
at::Tensor alibi_bias(const Alibi& alibi, std::int64_t heads, std::int64_t length, float scale) {
  const auto rounded = [&](float value) {
    return alibi.bf16_rounding ? static_cast<float>(c10::BFloat16(value)) : value;
  };
  at::Tensor table = empty_tensor({heads, length}, at::kFloat);
  auto* out = table.data_ptr<float>();
  for (const float slope : slopes_of(alibi, heads)) {
    for (std::int64_t position = 0; position < length; ++position) {
      const float bias = rounded(rounded(slope) * rounded(static_cast<float>(position)));
      *out++ = (alibi.scaled ? bias * scale : bias) * alibi.multiplier;
    }
  }
  return table;
}

// In so many words, in float32: what LibTorch's fused attention does not know.
at::Tensor attention_in_steps(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                              const at::Tensor& mask, const AttentionRule& rule) {
  const auto wide = query.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  at::Tensor scores = query.to(wide).matmul(key.to(wide).transpose(2, 3)).mul(rule.scale);
  if (rule.softcap > 0) scores = scores.div(rule.softcap).tanh().mul(rule.softcap);
  if (rule.alibi) {
    scores = scores.add(
        alibi_bias(*rule.alibi, query.size(1), key.size(2), rule.scale).to(query.device(), wide).unsqueeze(1));
  }
  scores = scores.masked_fill(mask.logical_not(), -std::numeric_limits<double>::infinity());
  if (rule.sinks.defined()) {
    const at::Tensor sinks = rule.sinks.to(wide).view({1, -1, 1, 1}).expand({1, -1, scores.size(2), 1});
    scores = concatenate({scores, sinks}, 3).softmax(-1).narrow(3, 0, key.size(2));
  } else {
    scores = scores.softmax(-1);
  }
  return scores.matmul(value.to(wide)).to(query.scalar_type());
}

}  // namespace

std::vector<float> alibi_slopes(const Alibi& alibi, std::int64_t heads, float scale) {
  std::vector<float> slopes = slopes_of(alibi, heads);
  // With bf16_rounding the kernel multiplies by the scale itself.
  const bool scale_here = alibi.scaled && !alibi.bf16_rounding;
  for (float& slope : slopes) slope *= alibi.multiplier * (scale_here ? scale : 1.0f);
  return slopes;
}

at::Tensor causal_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                            const AttentionRule& rule) {
  const std::int64_t rows = query.size(0);
  const std::int64_t heads = query.size(1);
  const std::int64_t total = key.size(0);
  const bool windowed = rule.window > 0 && rule.window < total;
  const bool in_steps = rule.softcap > 0 || rule.alibi || rule.sinks.defined();
  const bool square = rows == total;  // LibTorch's is_causal aligns top left: right only for a square
  std::optional<at::Tensor> mask;
  if (in_steps || windowed || (!square && rows > 1)) {
    mask = bottom_right_mask(rows, total, rule.window).to(query.device());
  }
  const at::Tensor q = heads_first(query, heads);
  const at::Tensor k = heads_first(key, heads);
  const at::Tensor v = heads_first(value, heads);
  const at::Tensor out = in_steps ? attention_in_steps(q, k, v, *mask, rule)
                                  : at::_ops::scaled_dot_product_attention::call(
                                        q, k, v, mask, /*dropout_p=*/0.0, /*is_causal=*/!mask && rows > 1,
                                        /*scale=*/static_cast<double>(rule.scale), /*enable_gqa=*/false);
  return out.squeeze(0).transpose(0, 1).reshape({rows, heads * value.size(2)});
}

bool kernels_take(const AttentionRule& rule) {
  if (!rule.alibi || !rule.alibi->bf16_rounding) return true;
  // The kernel rounds the slope with the multiplier in it, which is the same for powers of two only, and scales.
  int exponent = 0;
  return rule.alibi->scaled && std::frexp(rule.alibi->multiplier, &exponent) == 0.5f;
}

at::Tensor paged_attention(const at::Tensor& query, std::span<const PagedSequence> sequences, const PageLayout& layout,
                           const AttentionRule& rule, Numerics numerics) {
  // The kernels walk the elements of a head one by one.
  const at::Tensor q = query.stride(2) == 1 ? query : query.contiguous();
  at::Tensor out = empty_tensor({q.size(0), q.size(1) * q.size(2)}, q.scalar_type());
  const PerHead per_head(rule, q.size(1));
  const cpu::AttentionShape shape = shape_of(q, layout, rule, per_head);
  if (numerics == Numerics::exact) {
    attend_alone(q, sequences, shape, rule.window, out);
    return out;
  }
  std::vector<const PagedSequence*> single;
  for (const PagedSequence& sequence : sequences) {
    if (sequence.rows > kSingleRows) {
      attend_tiles(q, sequence, shape, rule.window, out);
    } else {
      single.push_back(&sequence);
    }
  }
  if (!single.empty()) attend_rows(q, single, shape, rule.window, out);
  return out;
}

}  // namespace powerhouse::ops
