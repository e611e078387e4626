// A step of decoding's attention over a paged cache, beside LibTorch's FlashAttention over keys and values that lie in
// one piece: the least that each has to read is the cache.
#include <cmath>

#include "gpu_check/checks.h"
#include "gpu_check/timer.h"
#include "kernels/cuda/paged_attention/launchers.h"

namespace powerhouse::gpu_check {

namespace {

struct Shape {
  std::int64_t batch, length, heads, kv_heads, head_dim;
};
constexpr Shape kShapes[] = {{1, 4096, 32, 8, 128},   {1, 32768, 32, 8, 128}, {32, 4096, 32, 8, 128},
                             {32, 4096, 32, 32, 128}, {64, 1024, 9, 3, 64},   {32, 4096, 32, 4, 64}};
constexpr std::int64_t kPageTokens = 16;

// The addresses of pages that lie one after another.
at::Tensor table_of(const Machine& machine, const at::Tensor& memory, std::int64_t pages) {
  const auto begin = reinterpret_cast<std::int64_t>(memory.data_ptr());
  const std::int64_t page = memory.numel() * memory.element_size() / pages;
  return at::arange(pages, at::TensorOptions().dtype(at::kLong)).mul(page).add(begin).to(machine.device);
}

void measure(Report& report, const Machine& machine, const Shape& s, BlockFormat type) {
  const BlockInfo info = block_info(type);
  const std::int64_t pages = s.batch * s.length / kPageTokens, row = s.kv_heads * s.head_dim;
  const auto options = at::TensorOptions().device(machine.device);
  const auto half = options.dtype(at::kBFloat16);
  const at::Tensor q = at::randn({s.batch, 1, s.heads, s.head_dim}, half), out = at::empty_like(q);
  const at::Tensor k = at::randn({s.batch, s.length, s.kv_heads, s.head_dim}, half), v = at::randn_like(k);
  const auto cells = [&](const at::Tensor& dense) {
    if (type == BlockFormat::bf16) return dense;
    // Blocks of q8_0: a scale of 2^-7 before 32 codes.
    const at::Tensor blocks = at::randint(-127, 128, {dense.numel() / 32, 34}, options.dtype(at::kChar));
    blocks.slice(1, 0, 2).copy_(at::full({1}, 0x1p-7, at::kHalf).view(at::kChar));
    return blocks;
  };
  const at::Tensor keys = cells(k), values = cells(v);
  const at::Tensor key_table = table_of(machine, keys, pages), value_table = table_of(machine, values, pages);
  const at::Tensor lengths = at::full({s.batch}, s.length, options.dtype(at::kInt));
  cuda::PagedAttentionParams params{.cache = {.type = type,
                                              .key_pages = static_cast<void* const*>(key_table.data_ptr()),
                                              .value_pages = static_cast<void* const*>(value_table.data_ptr()),
                                              .table_stride = s.length / kPageTokens,
                                              .lengths = lengths.data_ptr<std::int32_t>(),
                                              .sequences = static_cast<int>(s.batch),
                                              .rows = 1,
                                              .most_length = static_cast<int>(s.length),
                                              .kv_heads = static_cast<int>(s.kv_heads),
                                              .head_dim = static_cast<int>(s.head_dim),
                                              .page_tokens = kPageTokens},
                                    .type = Element::bf16,
                                    .q = q.data_ptr(),
                                    .out = out.data_ptr(),
                                    .q_row_stride = s.heads * s.head_dim,
                                    .q_head_stride = s.head_dim,
                                    .out_row_stride = s.heads * s.head_dim,
                                    .out_head_stride = s.head_dim,
                                    .all_rows = static_cast<int>(s.batch),
                                    .heads = static_cast<int>(s.heads),
                                    .scale = 1.0f / std::sqrt(static_cast<float>(s.head_dim)),
                                    .multiprocessors = machine.multiprocessors};
  const at::Tensor workspace = empty_there(machine, {cuda::paged_workspace_floats(params) + 4}, at::kFloat);
  params.workspace = workspace.data_ptr<float>();
  const ops::DeviceKernels kernels(machine.device);
  const double ours = seconds_of(machine, [&](int) {
    if (!kernels.launch(&cuda::KernelTable::paged_attention, params)) throw std::runtime_error("no kernel");
  });
  const double theirs = seconds_of(machine, [&](int) {
    at::_flash_attention_forward(q, k, v, {}, {}, 1, s.length, 0.0, false, false, params.scale);
  });
  const double bytes = 2.0 * static_cast<double>(s.batch * s.length * row) * static_cast<double>(info.block_bytes) /
                       static_cast<double>(info.block_elements);
  report.line(
      "speed",
      {{"what", std::string("attention of decoding, cache in ") + info.name},
       {"shape", "B" + std::to_string(s.batch) + " H" + std::to_string(s.heads) + "/" + std::to_string(s.kv_heads) +
                     " T" + std::to_string(s.length) + " D" + std::to_string(s.head_dim)},
       {"peer", "LibTorch FlashAttention, bf16"}},
      {{"seconds", ours}, {"peer_seconds", theirs}, {"ratio", theirs / ours}, {"bytes", bytes}});
}

}  // namespace

void measure_paged(Report& report, const Machine& machine) {
  const c10::AutoGradMode off(false);
  for (const Shape& shape : kShapes) {
    for (const BlockFormat type : {BlockFormat::bf16, BlockFormat::q8_0}) measure(report, machine, shape, type);
  }
}

}  // namespace powerhouse::gpu_check
