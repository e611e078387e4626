#include "ops/device_paged.h"

#include "ops/device_kernels.h"
#include "ops/flash_parts.h"
#include "ops/tensors.h"

namespace powerhouse::ops {
namespace {

const float* floats_or_null(const at::Tensor& x) { return x.defined() ? x.const_data_ptr<float>() : nullptr; }

// float32 on the device, for as long as a launch is prepared.
struct PerHeadOnDevice {
  at::Tensor slopes, sinks;

  PerHeadOnDevice(const AttentionRule& rule, const at::Tensor& query) : slopes(rule.device_slopes) {
    if (rule.alibi && !slopes.defined()) {
      slopes = float_tensor(alibi_slopes(*rule.alibi, query.size(1), rule.scale), query.device());
    }
    if (rule.sinks.defined()) sinks = rule.sinks.detach().to(at::kFloat).contiguous();
  }
};

}  // namespace

bool device_cache_takes(BlockFormat type, std::int64_t head_dim) {
  const bool blocks = type == BlockFormat::q8_0 || type == BlockFormat::q4_0;
  const bool numbers = type == BlockFormat::f32 || type == BlockFormat::bf16 || type == BlockFormat::f16;
  return (blocks || numbers) && head_dim % (blocks ? 32 : 8) == 0 && head_dim <= 256;
}

at::Tensor paged_attention_on_device(const at::Tensor& given, const cuda::PagedCache& cache,
                                     const AttentionRule& rule) {
  const DeviceKernels device(given.device());
  const at::Tensor query = aligned_vectors(given);
  const std::int64_t rows = query.size(0), heads = query.size(1), head_dim = query.size(2);
  at::Tensor out = empty_tensor({rows, heads * head_dim}, query.scalar_type(), query.device());
  const PerHeadOnDevice per_head(rule, query);
  cuda::PagedAttentionParams params{.cache = cache,
                                    .type = to_element(query.scalar_type()),
                                    .q = query.const_data_ptr(),
                                    .out = out.mutable_data_ptr(),
                                    .q_row_stride = query.stride(0),
                                    .q_head_stride = query.stride(1),
                                    .out_row_stride = out.stride(0),
                                    .out_head_stride = head_dim,
                                    .all_rows = static_cast<int>(rows),
                                    .heads = static_cast<int>(heads),
                                    .window = static_cast<int>(rule.window),
                                    .scale = rule.scale,
                                    .softcap = rule.softcap,
                                    .alibi_slopes = floats_or_null(per_head.slopes),
                                    .alibi_in_bf16 = rule.alibi && rule.alibi->bf16_rounding,
                                    .sinks = floats_or_null(per_head.sinks),
                                    .multiprocessors = static_cast<int>(device.multiprocessors())};
  const at::Tensor workspace = empty_tensor({cuda::paged_workspace_floats(params)}, at::kFloat, query.device());
  params.workspace = workspace.mutable_data_ptr<float>();
  device.must_launch("paged_attention", &cuda::KernelTable::paged_attention, params);
  return out;
}

void write_pages(const cuda::PagedCache& cache, const at::Tensor& key, const at::Tensor& value) {
  const at::Tensor keys = aligned_vectors(key), values = aligned_vectors(value);
  const cuda::PagedWriteParams params{.cache = cache,
                                      .type = to_element(keys.scalar_type()),
                                      .keys = keys.const_data_ptr(),
                                      .values = values.const_data_ptr(),
                                      .key_row_stride = keys.stride(0),
                                      .key_head_stride = keys.stride(1),
                                      .value_row_stride = values.stride(0),
                                      .value_head_stride = values.stride(1)};
  DeviceKernels(key.device()).must_launch("paged_attention", &cuda::KernelTable::paged_write, params);
}

bool turn_and_write_pages(const cuda::PagedCache& cache, const at::Tensor& query, const at::Tensor& key,
                          const at::Tensor& value, const RopeTable& table, RopeLayout layout) {
  const DeviceKernels device(query.device());
  if (!device.has(&cuda::KernelTable::rope_write) || query.stride(2) != 1) return false;
  const at::Tensor keys = aligned_vectors(key), values = aligned_vectors(value);
  const Element type = to_element(query.scalar_type());
  const cuda::RopeWriteParams params{.queries = {.type = type,
                                                 .data = query.mutable_data_ptr(),
                                                 .cos = table.cos.const_data_ptr<float>(),
                                                 .sin = table.sin.const_data_ptr<float>(),
                                                 .heads = query.size(1),
                                                 .rotary_dim = table.cos.size(1) * 2,
                                                 .token_stride = query.stride(0),
                                                 .head_stride = query.stride(1),
                                                 .table_stride = table.cos.stride(0),
                                                 .interleaved = layout == RopeLayout::interleaved},
                                     .write = {.cache = cache,
                                               .type = type,
                                               .keys = keys.const_data_ptr(),
                                               .values = values.const_data_ptr(),
                                               .key_row_stride = keys.stride(0),
                                               .key_head_stride = keys.stride(1),
                                               .value_row_stride = values.stride(0),
                                               .value_head_stride = values.stride(1)}};
  return device.launch(&cuda::KernelTable::rope_write, params);
}

GatheredPages gather_pages(const cuda::PagedCache& cache, std::int64_t positions, const at::Tensor& starts,
                           at::ScalarType type) {
  const at::Device where = starts.device();
  const auto room = [&] { return empty_tensor({positions, cache.kv_heads, cache.head_dim}, type, where); };
  GatheredPages out{room(), room()};
  const cuda::PagedGatherParams params{.cache = cache,
                                       .type = to_element(type),
                                       .keys = out.key.mutable_data_ptr(),
                                       .values = out.value.mutable_data_ptr(),
                                       .starts = starts.const_data_ptr<std::int32_t>()};
  DeviceKernels(where).must_launch("paged_attention", &cuda::KernelTable::paged_gather, params);
  return out;
}

at::Tensor attention_over(const at::Tensor& query, const GatheredPages& pages, const DeviceDocuments& documents,
                          std::span<const std::int64_t> query_starts, std::span<const std::int64_t> key_starts,
                          const AttentionRule& rule) {
  const std::size_t count = query_starts.size() - 1;
  if (device_takes(query, pages.key, rule, count, /*gradients=*/false)) {
    const PerHeadOnDevice per_head(rule, query);
    FlashPlan plan{.cu_seqlens = {query_starts.begin(), query_starts.end()}, .rule = rule, .documents = documents};
    plan.rule.device_slopes = per_head.slopes;
    return attend_on_device(
               {aligned_vectors(query), aligned_vectors(pages.key), aligned_vectors(pages.value), per_head.sinks}, plan)
        .out;
  }
  std::vector<at::Tensor> parts;
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t rows = query_starts[i + 1] - query_starts[i], keys = key_starts[i + 1] - key_starts[i];
    parts.push_back(causal_attention(query.narrow(0, query_starts[i], rows), pages.key.narrow(0, key_starts[i], keys),
                                     pages.value.narrow(0, key_starts[i], keys), rule));
  }
  return concatenate(parts, 0);
}

void copy_page(const void* from, void* to, const at::Tensor& offsets, std::int64_t bytes) {
  const std::int64_t addresses[] = {reinterpret_cast<std::int64_t>(from), reinterpret_cast<std::int64_t>(to)};
  const at::Tensor both = index_tensor(addresses, offsets.device());
  const auto* const place = both.const_data_ptr<std::int64_t>();
  const cuda::PageCopyParams params{.from = reinterpret_cast<const void* const*>(place),
                                    .to = reinterpret_cast<void* const*>(place + 1),
                                    .offsets = offsets.const_data_ptr<std::int64_t>(),
                                    .pages = 1,
                                    .parts = static_cast<int>(offsets.size(0)),
                                    .bytes = bytes};
  DeviceKernels(offsets.device()).must_launch("paged_attention", &cuda::KernelTable::page_copy, params);
}

}  // namespace powerhouse::ops
