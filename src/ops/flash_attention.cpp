#include "ops/flash_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "ops/autograd.h"
#include "ops/device_kernels.h"
#include "ops/documents.h"
#include "ops/flash_parts.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "support/thread_scratch.h"
#include "support/thread_team.h"

namespace powerhouse::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// A document is cut so that threads share it. Forward a part lays out its keys once more; backward it has sums of keys
// of its own, so that a long document has few parts.
constexpr std::int64_t kPartRows = 512;
constexpr std::int64_t kBackwardParts = 4;

std::vector<cpu::FlashPart> cut_documents(const FlashPlan& plan, std::int64_t group, std::int64_t most_parts) {
  std::vector<cpu::FlashPart> parts;
  for (std::size_t i = 0; i + 1 < plan.cu_seqlens.size(); ++i) {
    const std::int64_t first = plan.cu_seqlens[i];
    const std::int64_t length = plan.cu_seqlens[i + 1] - first;
    const std::int64_t count = std::min(most_parts, (length + kPartRows - 1) / kPartRows);
    const std::int64_t unit = cpu::flash_rows(group);
    const std::int64_t rows = count == 0 ? 0 : ((length + count - 1) / count + unit - 1) / unit * unit;
    const RowRange prefix = prefix_rows(plan.cu_seqlens, plan.prefixes, i);
    for (std::int64_t begin = 0; begin < length; begin += rows) {
      parts.push_back({.first = first - prefix.count,
                       .begin = prefix.count + begin,
                       .end = prefix.count + std::min(length, begin + rows),
                       .prefix = prefix.count,
                       .prefix_first = prefix.first});
    }
  }
  return parts;
}

// The work items on all threads, the longest first, each thread with scratch of its own. Whoever takes an item, its
// bits are the same.
template <typename Params>
void run_parts(void (*kernel)(const Params&, std::int64_t, std::int64_t, float*), const Params& params,
               const std::vector<cpu::FlashPart>& parts,
               std::int64_t (*scratch_floats)(std::int64_t, std::int64_t, std::int64_t)) {
  const auto work = [](const cpu::FlashPart& part) { return (part.end - part.begin) * (part.begin + part.end); };
  std::vector<std::int64_t> order(parts.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return work(parts[static_cast<std::size_t>(a)]) > work(parts[static_cast<std::size_t>(b)]);
  });
  std::int64_t keys = 0;
  for (const cpu::FlashPart& part : parts) keys = std::max(keys, part.end);
  const auto items = static_cast<std::int64_t>(parts.size()) * params.num_kv_heads;
  claim_items(items, [&](const auto& claim) {
    float* const scratch = thread_scratch(scratch_floats(params.group, params.head_dim, keys));
    for (std::int64_t i = claim(); i < items; i = claim()) {
      const std::int64_t item =
          order[static_cast<std::size_t>(i / params.num_kv_heads)] * params.num_kv_heads + i % params.num_kv_heads;
      kernel(params, item, item + 1, scratch);
    }
  });
}

void describe(const FlashInputs& in, const at::Tensor& out, const at::Tensor& lse, const FlashPlan& plan,
              cpu::FlashParams& params) {
  params.type = to_element(in.query.scalar_type());
  params.num_kv_heads = in.key.size(1);
  params.group = in.query.size(1) / in.key.size(1);
  params.head_dim = in.query.size(2);
  params.q_head_stride = in.query.stride(1);
  params.out_head_stride = params.head_dim;
  params.scale = plan.rule.scale;
  params.softcap = plan.rule.softcap;
  params.alibi_slopes = plan.slopes.empty() ? nullptr : plan.slopes.data();
  params.alibi_in_bf16 = plan.rule.alibi && plan.rule.alibi->bf16_rounding;
  params.sinks = in.sinks.defined() ? in.sinks.const_data_ptr<float>() : nullptr;
  params.q = in.query.const_data_ptr();
  params.k = in.key.const_data_ptr();
  params.v = in.value.const_data_ptr();
  params.out = const_cast<void*>(out.const_data_ptr());
  params.lse = const_cast<float*>(lse.const_data_ptr<float>());
  params.q_row_stride = in.query.stride(0);
  params.k_row_stride = in.key.stride(0);
  params.k_head_stride = in.key.stride(1);
  params.v_row_stride = in.value.stride(0);
  params.v_head_stride = in.value.stride(1);
  params.out_row_stride = out.stride(0);
  params.lse_head_stride = in.query.size(0);
  params.window = plan.rule.window;
}

// Elements of a head side by side, as the kernels walk them.
at::Tensor walkable(const at::Tensor& x) {
  if (!x.is_cpu()) return aligned_vectors(x);
  return x.stride(-1) == 1 || x.size(-1) == 1 ? x : x.contiguous();
}

// Kept for backward: a part of a fused projection would keep all of it, unless query and key lie there as well.
at::Tensor value_to_keep(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value) {
  return walkable(value.is_alias_of(query) || value.is_alias_of(key) ? value : value.contiguous());
}

at::Tensor wide_sinks(const at::Tensor& sinks) {
  return sinks.defined() ? sinks.detach().to(at::kFloat).contiguous() : sinks;
}

// dsink = -sum over rows of its weight times D, in the order of rows.
at::Tensor gradient_of_sinks(const at::Tensor& sinks, const at::Tensor& lse, const at::Tensor& delta) {
  at::Tensor gradient = empty_tensor({sinks.size(0)}, at::kFloat);
  const std::int64_t rows = lse.size(1);
  for (std::int64_t head = 0; head < sinks.size(0); ++head) {
    const auto sink = static_cast<double>(sinks.const_data_ptr<float>()[head]);
    double sum = 0;
    for (std::int64_t i = head * rows; i < (head + 1) * rows; ++i) {
      sum -= std::exp(sink - static_cast<double>(lse.const_data_ptr<float>()[i])) *
             static_cast<double>(delta.const_data_ptr<float>()[i]);
    }
    gradient.data_ptr<float>()[head] = static_cast<float>(sum);
  }
  return gradient;
}

// Room for the sums of parts that share keys with others, and what they add up to, in order.
class PartSums {
 public:
  PartSums(std::vector<cpu::FlashPart>& parts, std::int64_t kv_heads, std::int64_t head_dim)
      : parts_(parts), sums_(parts.size()), head_dim_(head_dim) {
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (shares_keys(i)) make(i, kv_heads);
      if (parts[i].prefix > 0) make(last_of_prefix(i), kv_heads);
    }
  }

  void add_up(const at::Tensor& dk, const at::Tensor& dv) {
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      if (!sums_[i].defined()) continue;
      if (!is_last(i)) {
        add(i, parts_[i].end, i + 1);
      } else if (parts_[i].prefix > 0) {
        add(i, parts_[i].prefix, last_of_prefix(i));
      }
    }
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      if (!sums_[i].defined() || !is_last(i)) continue;
      const std::int64_t rows = parts_[i].end - parts_[i].prefix;
      const at::Tensor own = sums_[i].narrow(2, parts_[i].prefix, rows).narrow(3, 0, head_dim_);
      dk.narrow(0, first_row(i), rows).copy_(own.select(1, 0).transpose(0, 1));
      dv.narrow(0, first_row(i), rows).copy_(own.select(1, 1).transpose(0, 1));
    }
  }

 private:
  // Where a part's document begins: no two begin at the same row.
  std::int64_t first_row(std::size_t i) const { return parts_[i].first + parts_[i].prefix; }
  bool is_last(std::size_t i) const { return i + 1 == parts_.size() || first_row(i + 1) != first_row(i); }
  bool shares_keys(std::size_t i) const { return parts_[i].prefix > 0 || !is_last(i) || (i > 0 && !is_last(i - 1)); }
  std::size_t last_of_prefix(std::size_t i) const {
    std::size_t last = 0;
    while (first_row(last) != parts_[i].prefix_first || !is_last(last)) ++last;
    return last;
  }

  void make(std::size_t i, std::int64_t kv_heads) {
    if (sums_[i].defined()) return;
    const std::int64_t keys = cpu::flash_keys(parts_[i].end);
    sums_[i] = empty_tensor({kv_heads, 2, keys, cpu::flash_padded(head_dim_)}, at::kFloat);
    parts_[i].sums = sums_[i].data_ptr<float>();
  }
  void add(std::size_t from, std::int64_t keys, std::size_t to) {
    sums_[to].narrow(2, 0, keys).add_(sums_[from].narrow(2, 0, keys));
  }

  std::vector<cpu::FlashPart>& parts_;
  std::vector<at::Tensor> sums_;
  std::int64_t head_dim_;
};

Attended attend_documents(const FlashInputs& in, const FlashPlan& plan) {
  if (!in.query.is_cpu()) return attend_on_device(in, plan);
  const std::int64_t rows = in.query.size(0);
  const std::int64_t heads = in.query.size(1);
  Attended result{empty_tensor({rows, heads * in.query.size(2)}, in.query.scalar_type()),
                  empty_tensor({heads, rows}, at::kFloat)};
  const std::vector<cpu::FlashPart> parts =
      cut_documents(plan, heads / in.key.size(1), std::numeric_limits<std::int64_t>::max());
  cpu::FlashParams params;
  describe(in, result.out, result.lse, plan, params);
  params.parts = parts.data();
  run_parts(cpu::kernels().flash_forward, params, parts, cpu::flash_forward_floats);
  return result;
}

// What backward needs beside tensors.
struct PlanHolder : torch::CustomClassHolder {
  explicit PlanHolder(FlashPlan plan_) : plan(std::move(plan_)) {}
  FlashPlan plan;
};

variable_list gradients_of(const FlashInputs& in, const at::Tensor& logits, const FlashPlan& plan,
                           const at::Tensor& out, const at::Tensor& lse, const at::Tensor& gradient) {
  const std::int64_t head_dim = in.query.size(2);
  const at::Tensor dout = walkable(gradient);
  const bool want_sinks = logits.defined() && logits.requires_grad();
  if (!in.query.is_cpu()) {
    const FlashGradients found = gradients_on_device(in, plan, {out, lse}, dout, want_sinks);
    return {found.query, found.key, found.value, want_sinks ? found.sinks.to(logits.scalar_type()) : at::Tensor(),
            at::Tensor()};
  }
  const at::Tensor dq = empty_tensor(in.query.sizes(), in.query.scalar_type());
  const at::Tensor dk = empty_tensor(in.key.sizes(), in.key.scalar_type());
  const at::Tensor dv = empty_tensor(in.value.sizes(), in.value.scalar_type());
  const at::Tensor delta = empty_tensor(lse.sizes(), at::kFloat);
  std::vector<cpu::FlashPart> parts = cut_documents(plan, in.query.size(1) / in.key.size(1), kBackwardParts);
  PartSums sums(parts, in.key.size(1), head_dim);
  cpu::FlashBackwardParams params;
  describe(in, out, lse, plan, params);
  params.parts = parts.data();
  params.dout = dout.const_data_ptr();
  params.dout_row_stride = dout.stride(0);
  params.dout_head_stride = head_dim;
  params.dq = dq.mutable_data_ptr();
  params.dk = dk.mutable_data_ptr();
  params.dv = dv.mutable_data_ptr();
  params.delta = delta.mutable_data_ptr<float>();
  run_parts(cpu::kernels().flash_backward, params, parts, cpu::flash_backward_floats);
  sums.add_up(dk, dv);
  at::Tensor dsinks;
  if (want_sinks) dsinks = gradient_of_sinks(in.sinks, lse, delta).to(logits.scalar_type());
  return {dq, dk, dv, dsinks, at::Tensor()};
}

class FlashAttention : public torch::autograd::Function<FlashAttention> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& query, const at::Tensor& key,
                            const at::Tensor& value, const std::optional<at::Tensor>& sinks,
                            const c10::intrusive_ptr<PlanHolder>& holder) {
    const at::Tensor logits = sinks.value_or(at::Tensor());
    const FlashInputs in{walkable(query), walkable(key), value_to_keep(query, key, value), wide_sinks(logits)};
    const Attended result = attend_documents(in, holder->plan);
    context->save_for_backward({in.query, in.key, in.value, logits, result.out, result.lse});
    context->saved_data["plan"] = at::IValue::make_capsule(holder);
    return result.out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    once_differentiable("flash_attention");
    const variable_list saved = context->get_saved_variables();
    const auto holder = c10::static_intrusive_pointer_cast<PlanHolder>(context->saved_data["plan"].toCapsule());
    const FlashInputs in{saved[0], saved[1], saved[2], wide_sinks(saved[3])};
    return gradients_of(in, saved[3], holder->plan, saved[4], saved[5], gradients[0]);
  }
};

void check_shapes(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                  std::span<const std::int64_t> cu_seqlens, std::span<const std::int64_t> prefixes) {
  const std::int64_t rows = query.size(0);
  if (key.size(0) != rows || value.size(0) != rows || key.size(1) == 0 || query.size(1) % key.size(1) != 0) {
    throw Error(ErrorKind::usage, "queries, keys and values do not belong together", {.field = "key"});
  }
  if (cu_seqlens.empty() || cu_seqlens.front() != 0 || cu_seqlens.back() != rows ||
      !std::is_sorted(cu_seqlens.begin(), cu_seqlens.end())) {
    throw Error(ErrorKind::usage, "documents do not cover the rows",
                {.field = "cu_seqlens", .expected = "0, then ascending up to the number of rows"});
  }
  check_prefixes(cu_seqlens, prefixes);
}

// By causal_attention, document by document.
at::Tensor attention_of_each(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                             std::span<const std::int64_t> cu_seqlens, const AttentionRule& rule,
                             std::span<const std::int64_t> prefixes) {
  std::vector<at::Tensor> parts;
  for (std::size_t i = 0; i + 1 < cu_seqlens.size(); ++i) {
    const std::int64_t first = cu_seqlens[i];
    const std::int64_t rows = cu_seqlens[i + 1] - first;
    if (rows == 0) continue;
    const RowRange prefix = prefix_rows(cu_seqlens, prefixes, i);
    const auto seen = [&](const at::Tensor& x) {
      const at::Tensor own = x.narrow(0, first, rows);
      return prefix.count == 0 ? own : concatenate({x.narrow(0, prefix.first, prefix.count), own}, 0);
    };
    parts.push_back(causal_attention(query.narrow(0, first, rows), seen(key), seen(value), rule));
  }
  return parts.size() == 1 ? parts[0] : concatenate(parts, 0);
}

}  // namespace

at::Tensor flash_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                           std::span<const std::int64_t> cu_seqlens, const AttentionRule& rule,
                           std::span<const std::int64_t> prefixes, const DeviceDocuments& documents) {
  check_shapes(query, key, value, cu_seqlens, prefixes);
  if (query.size(0) == 0) return query.flatten(1);
  const auto fits = [&](const at::Tensor& x) {
    return has_kernels(x) && x.scalar_type() == query.scalar_type() && x.device() == query.device() &&
           x.size(2) == query.size(2);
  };
  const bool autograd = needs_autograd(query, key, value, rule.sinks);
  const bool taken = fits(query) && fits(key) && fits(value) && kernels_take(rule);
  if (!taken || (!query.is_cpu() && !device_takes(query, key, rule, cu_seqlens.size() - 1, autograd))) {
    return attention_of_each(query, key, value, cu_seqlens, rule, prefixes);
  }
  FlashPlan plan{.cu_seqlens = {cu_seqlens.begin(), cu_seqlens.end()},
                 .prefixes = {prefixes.begin(), prefixes.end()},
                 .rule = rule,
                 .slopes = {}};
  plan.rule.sinks = at::Tensor();
  if (rule.alibi) plan.slopes = alibi_slopes(*rule.alibi, query.size(1), rule.scale);
  if (!query.is_cpu()) {
    plan.documents = documents.defined() ? documents : device_documents(cu_seqlens, prefixes, query.device());
    if (!plan.rule.device_slopes.defined() && rule.alibi) {
      plan.rule.device_slopes = float_tensor(plan.slopes, query.device());
    }
  }
  if (!autograd) {
    return attend_documents({walkable(query), walkable(key), walkable(value), wide_sinks(rule.sinks)}, plan).out;
  }
  const std::optional<at::Tensor> sinks = rule.sinks.defined() ? std::optional(rule.sinks) : std::nullopt;
  return FlashAttention::apply(query, key, value, sinks, c10::make_intrusive<PlanHolder>(std::move(plan)));
}

}  // namespace powerhouse::ops
