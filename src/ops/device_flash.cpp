// Flash attention over packed documents by a device's kernels. A document that continues another sees rows of both: its
// keys are laid out side by side for the kernel, and what backward says of them is added up in the order of documents.
#include "kernels/cuda/flash_attention/launchers.h"
#include "ops/device_kernels.h"
#include "ops/documents.h"
#include "ops/flash_parts.h"
#include "ops/tensors.h"

namespace powerhouse::ops {
namespace {

struct Seen {
  at::Tensor key, value;
};

Seen keys_in_order(const FlashInputs& in, const DeviceDocuments& documents) {
  if (!documents.places.defined()) return {in.key, in.value};
  return {in.key.index_select(0, documents.places), in.value.index_select(0, documents.places)};
}

cuda::VectorStrides strides_of(const at::Tensor& x) { return {.row = x.stride(0), .head = x.stride(1)}; }

cuda::FlashForwardParams describe(const FlashInputs& in, const Seen& seen, const FlashPlan& plan,
                                  const Attended& attended) {
  const AttentionRule& rule = plan.rule;
  const DeviceDocuments& documents = plan.documents;
  const std::int64_t head_dim = in.query.size(2);
  return {.q = in.query.const_data_ptr(),
          .k = seen.key.const_data_ptr(),
          .v = seen.value.const_data_ptr(),
          .out = const_cast<void*>(attended.out.const_data_ptr()),
          .lse = const_cast<float*>(attended.lse.const_data_ptr<float>()),
          .q_strides = strides_of(in.query),
          .k_strides = strides_of(seen.key),
          .v_strides = strides_of(seen.value),
          .out_strides = {.row = attended.out.stride(0), .head = head_dim},
          .lse_head_stride = in.query.size(0),
          .batch = static_cast<int>(plan.cu_seqlens.size() - 1),
          .heads = static_cast<int>(in.query.size(1)),
          .kv_heads = static_cast<int>(seen.key.size(1)),
          .head_dim = static_cast<int>(head_dim),
          .queries = static_cast<int>(documents.most_queries),
          .keys = static_cast<int>(documents.most_keys),
          .cu_seqlens_q = documents.queries.const_data_ptr<std::int32_t>(),
          .cu_seqlens_k = documents.keys.const_data_ptr<std::int32_t>(),
          .scale = rule.scale,
          .softcap = rule.softcap,
          .window_left = rule.window > 0 ? static_cast<int>(rule.window) - 1 : -1,
          .window_right = 0,
          .alibi_slopes = rule.device_slopes.defined() ? rule.device_slopes.const_data_ptr<float>() : nullptr,
          .sinks = in.sinks.defined() ? in.sinks.const_data_ptr<float>() : nullptr,
          .type = to_element(in.query.scalar_type())};
}

// Blocks that share the keys of a document, each with sums of its own that are added up in order: as few as fill the
// device. Sums that all blocks add to would differ from run to run. A Hopper's kernel takes two for leave to have a
// block for each tile of keys, all of which add to the same sums in turn (FlashBackwardParams).
int slices_for(const DeviceKernels& device, const cuda::FlashForwardParams& params) {
  constexpr std::int64_t kMost = 8, kKeys = 128;
  constexpr int kHopper = 90;
  const std::int64_t blocks = std::int64_t{params.heads} * params.batch;
  const std::int64_t wanted = (2 * device.multiprocessors() + blocks - 1) / std::max<std::int64_t>(1, blocks);
  const std::int64_t tiles = (params.keys + kKeys - 1) / kKeys;
  const bool in_turn = device.compute() == kHopper && cuda::hopper_backward_fits({.forward = params});
  return static_cast<int>(std::clamp<std::int64_t>(std::min(in_turn ? 2 : wanted, tiles), 1, kMost));
}

// Gradients of keys side by side as gradients of rows, summed in float32.
at::Tensor of_rows(const at::Tensor& gradient, const FlashPlan& plan, std::int64_t rows) {
  if (!plan.documents.places.defined()) return gradient;
  const at::Tensor sum = gradient.new_zeros({rows, gradient.size(1), gradient.size(2)}, at::kFloat);
  std::int64_t at = 0;
  const auto add = [&](std::int64_t first, std::int64_t count) {
    sum.narrow(0, first, count).add_(gradient.narrow(0, at, count));
    at += count;
  };
  for (std::size_t i = 0; i + 1 < plan.cu_seqlens.size(); ++i) {
    const RowRange prefix = prefix_rows(plan.cu_seqlens, plan.prefixes, i);
    add(prefix.first, prefix.count);
    add(plan.cu_seqlens[i], plan.cu_seqlens[i + 1] - plan.cu_seqlens[i]);
  }
  return sum.to(gradient.scalar_type());
}

}  // namespace

bool device_takes(const at::Tensor& query, const at::Tensor& key, const AttentionRule& rule, std::size_t documents,
                  bool gradients) {
  constexpr std::int64_t kMost = 65535;  // of a grid's second and third dimension
  const std::int64_t head_dim = query.size(2);
  if (query.scalar_type() == at::kFloat || head_dim % 8 != 0 || head_dim > 256) return false;
  if (query.size(1) > kMost || key.size(1) > kMost || static_cast<std::int64_t>(documents) > kMost) return false;
  if (rule.alibi && rule.alibi->bf16_rounding) return false;
  return !gradients || DeviceKernels(query.device()).has(&cuda::KernelTable::flash_backward);
}

Attended attend_on_device(const FlashInputs& in, const FlashPlan& plan) {
  const std::int64_t rows = in.query.size(0), heads = in.query.size(1);
  const at::Device where = in.query.device();
  Attended result{empty_tensor({rows, heads * in.query.size(2)}, in.query.scalar_type(), where),
                  empty_tensor({heads, rows}, at::kFloat, where)};
  const Seen seen = keys_in_order(in, plan.documents);
  DeviceKernels(where).must_launch("flash_attention", &cuda::KernelTable::flash_forward,
                                   describe(in, seen, plan, result));
  return result;
}

FlashGradients gradients_on_device(const FlashInputs& in, const FlashPlan& plan, const Attended& attended,
                                   const at::Tensor& dout, bool want_sinks) {
  const DeviceKernels device(in.query.device());
  const std::int64_t rows = in.query.size(0), head_dim = in.query.size(2);
  const Seen seen = keys_in_order(in, plan.documents);
  const at::Tensor dq = empty_tensor_like(in.query), dk = empty_tensor_like(seen.key),
                   dv = empty_tensor_like(seen.value);
  FlashGradients out;
  if (want_sinks) out.sinks = empty_tensor_like(in.sinks);
  cuda::FlashBackwardParams params{.forward = describe(in, seen, plan, attended),
                                   .dout = dout.const_data_ptr(),
                                   .dq = dq.mutable_data_ptr(),
                                   .dk = dk.mutable_data_ptr(),
                                   .dv = dv.mutable_data_ptr(),
                                   .dsinks = want_sinks ? out.sinks.mutable_data_ptr<float>() : nullptr,
                                   .dout_strides = {.row = dout.stride(0), .head = head_dim},
                                   .dq_strides = strides_of(dq),
                                   .dk_strides = strides_of(dk),
                                   .dv_strides = strides_of(dv),
                                   .packed_queries = static_cast<int>(rows)};
  params.slices = slices_for(device, params.forward);
  const at::Tensor workspace = empty_tensor({cuda::flash_backward_floats(params)}, at::kFloat, in.query.device());
  params.workspace = workspace.mutable_data_ptr<float>();
  device.must_launch("flash_attention", &cuda::KernelTable::flash_backward, params);
  out.query = dq;
  out.key = of_rows(dk, plan, rows);
  out.value = of_rows(dv, plan, rows);
  return out;
}

}  // namespace powerhouse::ops
