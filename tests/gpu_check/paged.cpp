// The paged cache: rows are written, gathered and copied, and a few new rows attend over what the cache then holds.
#include <cmath>

#include "gpu_check/checks.h"
#include "kernels/cuda/paged_attention/launchers.h"

namespace powerhouse::gpu_check {

namespace {

struct Case {
  BlockFormat cache;
  at::ScalarType type;
  int rows, heads, kv_heads, head_dim, window;
  float softcap;
  bool alibi, sinks;
};

std::vector<Case> cases_of(bool small) {
  std::vector<Case> cases;
  const std::vector<int> sizes = small ? std::vector<int>{32} : std::vector<int>{64, 128, 256};
  for (const int d : sizes) {
    for (const int rows : {1, 3}) {
      cases.push_back({BlockFormat::bf16, at::kBFloat16, rows, 8, 2, d, 0, 0, false, false});
      if (!small) cases.push_back({BlockFormat::f16, at::kHalf, rows, 4, 4, d, 50, 0, false, true});
      cases.push_back({BlockFormat::f32, at::kFloat, rows, 6, 1, d, 0, 20, true, false});
      cases.push_back({BlockFormat::q8_0, at::kBFloat16, rows, 8, 2, d, 0, 0, true, true});
      cases.push_back({BlockFormat::q4_0, at::kBFloat16, rows, 4, 2, d, 0, 0, false, false});
    }
  }
  return cases;
}

std::string name_of(const Case& c) {
  return std::string(block_info(c.cache).name) + " " + at::toString(c.type) + " rows " + std::to_string(c.rows) + " H" +
         std::to_string(c.heads) + "/" + std::to_string(c.kv_heads) + " D" + std::to_string(c.head_dim) +
         (c.window > 0 ? " window" : "") + (c.softcap > 0 ? " softcap" : "") + (c.alibi ? " alibi" : "") +
         (c.sinks ? " sinks" : "");
}

// A cache of one layer on the device: pages one after another, sequences' pages in turn.
struct CacheThere {
  static constexpr int kPageTokens = 16;
  std::vector<std::int32_t> lengths;
  at::Tensor keys, values, key_table, value_table, length_of;
  cuda::PagedCache cache{};

  CacheThere(const Machine& machine, const Case& c, const std::vector<std::int32_t>& of) : lengths(of) {
    std::int64_t most = 0;
    for (const std::int32_t length : lengths) most = std::max<std::int64_t>(most, length);
    const std::int64_t pages = (most + kPageTokens - 1) / kPageTokens, sequences = static_cast<std::int64_t>(of.size());
    const BlockInfo info = block_info(c.cache);
    const std::int64_t page =
        std::int64_t{kPageTokens} * c.kv_heads * c.head_dim / info.block_elements * info.block_bytes;
    // 0xFF: NaN, so that what was not written shows.
    keys = at::full({pages * sequences * page}, 0xFF, at::kByte).to(machine.device);
    values = at::full({pages * sequences * page}, 0xFF, at::kByte).to(machine.device);
    key_table = table(machine, keys, pages, sequences, page);
    value_table = table(machine, values, pages, sequences, page);
    length_of = values_there(machine, lengths);
    cache = {.type = c.cache,
             .key_pages = static_cast<void* const*>(key_table.data_ptr()),
             .value_pages = static_cast<void* const*>(value_table.data_ptr()),
             .table_stride = pages,
             .lengths = static_cast<const std::int32_t*>(length_of.data_ptr()),
             .sequences = static_cast<int>(sequences),
             .most_length = static_cast<int>(most),
             .kv_heads = c.kv_heads,
             .head_dim = c.head_dim,
             .page_tokens = kPageTokens};
  }

  static at::Tensor table(const Machine& machine, const at::Tensor& memory, std::int64_t pages, std::int64_t sequences,
                          std::int64_t page) {
    std::vector<std::uint64_t> addresses;
    const auto begin = reinterpret_cast<std::uint64_t>(memory.data_ptr());
    for (std::int64_t s = 0; s < sequences; ++s) {
      for (std::int64_t i = 0; i < pages; ++i)
        addresses.push_back(begin + static_cast<std::uint64_t>((i * sequences + s) * page));
    }
    return values_there(machine, addresses);
  }
};

std::vector<std::int32_t> starts_of(const std::vector<std::int32_t>& lengths) {
  std::vector<std::int32_t> starts{0};
  for (const std::int32_t length : lengths) starts.push_back(starts.back() + length);
  return starts;
}

// What the cache holds, [all positions, kv_heads, head_dim] in float32.
std::pair<at::Tensor, at::Tensor> gathered(const Machine& machine, Checked& checked, const CacheThere& on,
                                           const Case& c) {
  const std::vector<std::int32_t> starts = starts_of(on.lengths);
  const at::Tensor keys = empty_there(machine, {starts.back(), c.kv_heads, c.head_dim}, at::kFloat);
  const at::Tensor values = at::empty_like(keys), starts_there = values_there(machine, starts);
  const cuda::PagedGatherParams params{.cache = on.cache,
                                       .type = Element::f32,
                                       .keys = keys.data_ptr(),
                                       .values = values.data_ptr(),
                                       .starts = static_cast<const std::int32_t*>(starts_there.data_ptr())};
  const ops::DeviceKernels kernels(machine.device);
  checked.launched(name_of(c), kernels.launch(&cuda::KernelTable::paged_gather, params));
  return {keys.to(at::kCPU), values.to(at::kCPU)};
}

at::Tensor definition(const Machine& machine, const Case& c, const CacheThere& on, const at::Tensor& q,
                      const at::Tensor& keys, const at::Tensor& values, const at::Tensor& slopes,
                      const at::Tensor& sinks, double scale, at::ScalarType to) {
  std::vector<at::Tensor> outs;
  const std::vector<std::int32_t> starts = starts_of(on.lengths);
  for (std::size_t s = 0; s < on.lengths.size(); ++s) {
    const std::int64_t length = on.lengths[s], rows = c.rows, at_row = static_cast<std::int64_t>(s) * rows;
    const auto part = [&](const at::Tensor& all) {
      return wide(machine, all.slice(0, starts[s], starts[s + 1]), to)
          .transpose(0, 1)
          .repeat_interleave(c.heads / c.kv_heads, 0);
    };
    const at::Tensor q_of = wide(machine, q.slice(0, at_row, at_row + rows), to).transpose(0, 1);
    const auto options = at::TensorOptions().device(machine.judge).dtype(at::kLong);
    const at::Tensor distance =
        at::arange(length, options).sub(at::arange(rows, options).add(length - rows).unsqueeze(1));
    at::Tensor scores = at::matmul(q_of, part(keys).transpose(1, 2)).mul(scale);
    if (c.softcap > 0) scores = scores.div(c.softcap).tanh().mul(c.softcap);
    if (c.alibi) scores = scores.add(wide(machine, slopes, to).view({-1, 1, 1}).mul(distance.to(to)));
    at::Tensor hidden = distance.gt(0);
    if (c.window > 0) hidden = hidden.logical_or(distance.le(-c.window));
    scores = scores.masked_fill(hidden, -1e30);
    if (c.sinks) scores = at::cat({scores, wide(machine, sinks, to).view({-1, 1, 1}).expand({c.heads, rows, 1})}, 2);
    outs.push_back(at::matmul(at::softmax(scores, 2).slice(2, 0, length), part(values)).transpose(0, 1));
  }
  return at::cat(outs, 0);
}

// How far codes of a block may be from what was written, as a part of the largest number.
double code_error(BlockFormat format) {
  return format == BlockFormat::q8_0 ? 0.5 / 127 + 1e-3 : format == BlockFormat::q4_0 ? 1.0 / 8 + 1e-3 : 0;
}

void attend(const Machine& machine, Checked& checked, const Case& c, CacheThere& on, const at::Tensor& keys,
            const at::Tensor& values) {
  const auto sequences = static_cast<std::int64_t>(on.lengths.size());
  const at::Tensor q = noise({sequences * c.rows, c.heads, c.head_dim}, c.type, 3), q_there = there(machine, q);
  const at::Tensor slopes = noise({c.heads}, at::kFloat, 4).abs().mul(0.05), sinks = noise({c.heads}, at::kFloat, 5);
  const at::Tensor slopes_there = there(machine, slopes), sinks_there = there(machine, sinks),
                   out = at::empty_like(q_there);
  const float scale = 1.0f / std::sqrt(static_cast<float>(c.head_dim));
  on.cache.rows = c.rows;
  cuda::PagedAttentionParams params{.cache = on.cache,
                                    .type = element(c.type),
                                    .q = q_there.data_ptr(),
                                    .out = out.data_ptr(),
                                    .q_row_stride = c.heads * c.head_dim,
                                    .q_head_stride = c.head_dim,
                                    .out_row_stride = c.heads * c.head_dim,
                                    .out_head_stride = c.head_dim,
                                    .all_rows = static_cast<int>(sequences * c.rows),
                                    .heads = c.heads,
                                    .window = c.window,
                                    .scale = scale,
                                    .softcap = c.softcap,
                                    .alibi_slopes = c.alibi ? slopes_there.data_ptr<float>() : nullptr,
                                    .sinks = c.sinks ? sinks_there.data_ptr<float>() : nullptr,
                                    .multiprocessors = machine.multiprocessors};
  const at::Tensor workspace = empty_there(machine, {cuda::paged_workspace_floats(params) + 4}, at::kFloat);
  params.workspace = workspace.data_ptr<float>();
  const ops::DeviceKernels kernels(machine.device);
  checked.launched(name_of(c), kernels.launch(&cuda::KernelTable::paged_attention, params));
  // Keys, weights and values are rounded to the type of queries.
  checked.tensor(name_of(c), out, allowed(c.type, 2), [&](at::ScalarType to) {
    return definition(machine, c, on, q, keys, values, slopes, sinks, scale, to);
  });
}

}  // namespace

void check_paged_attention(Report& report, const Machine& machine) {
  Checked writes(report, machine, "paged_write and paged_gather"), attention(report, machine, "paged_attention");
  Checked copies(report, machine, "page_copy");
  const std::vector<std::int32_t> lengths =
      machine.small ? std::vector<std::int32_t>{5, 300, 16} : std::vector<std::int32_t>{7, 1000, 4096, 16, 257};
  for (const Case& c : cases_of(machine.small)) {
    CacheThere on(machine, c, lengths);
    const std::vector<std::int32_t> starts = starts_of(lengths);
    const at::Tensor keys = noise({starts.back(), c.kv_heads, c.head_dim}, c.type, 1);
    const at::Tensor values = noise({starts.back(), c.kv_heads, c.head_dim}, c.type, 2);
    const at::Tensor keys_there = there(machine, keys), values_of = there(machine, values);
    const at::Tensor starts_there = values_there(machine, starts);
    on.cache.row_starts = static_cast<const std::int32_t*>(starts_there.data_ptr());
    on.cache.rows = on.cache.most_length;
    const std::int64_t row = std::int64_t{c.kv_heads} * c.head_dim;
    const cuda::PagedWriteParams params{.cache = on.cache,
                                        .type = element(c.type),
                                        .keys = keys_there.data_ptr(),
                                        .values = values_of.data_ptr(),
                                        .key_row_stride = row,
                                        .key_head_stride = c.head_dim,
                                        .value_row_stride = row,
                                        .value_head_stride = c.head_dim};
    const ops::DeviceKernels kernels(machine.device);
    writes.launched(name_of(c), kernels.launch(&cuda::KernelTable::paged_write, params));
    on.cache.row_starts = nullptr;
    on.cache.rows = 1;
    const auto [found_keys, found_values] = gathered(machine, writes, on, c);
    writes.tensor(name_of(c) + " keys", found_keys, code_error(c.cache), keys);
    writes.tensor(name_of(c) + " values", found_values, code_error(c.cache), values);
    attend(machine, attention, c, on, found_keys, found_values);

    // Every page of the second sequence to memory of its own.
    const std::int64_t pages = (lengths[1] + CacheThere::kPageTokens - 1) / CacheThere::kPageTokens;
    const std::int64_t bytes = on.keys.numel() / (on.cache.table_stride * on.cache.sequences);
    const at::Tensor copy = at::zeros({pages * bytes}, at::kByte).to(machine.device);
    const at::Tensor to = CacheThere::table(machine, copy, pages, 1, bytes),
                     offset = values_there(machine, std::vector<std::int64_t>{0});
    const auto* const from = static_cast<const void* const*>(on.key_table.data_ptr()) + on.cache.table_stride;
    const cuda::PageCopyParams copy_params{.from = from,
                                           .to = static_cast<void* const*>(to.data_ptr()),
                                           .offsets = static_cast<const std::int64_t*>(offset.data_ptr()),
                                           .pages = static_cast<int>(pages),
                                           .parts = 1,
                                           .bytes = bytes};
    copies.launched(name_of(c), kernels.launch(&cuda::KernelTable::page_copy, copy_params));
    const at::Tensor all = on.keys.to(at::kCPU).view({on.cache.table_stride, on.cache.sequences, bytes});
    copies.tensor(name_of(c), copy, 0, all.slice(0, 0, pages).select(1, 1).flatten());
  }
}

}  // namespace powerhouse::gpu_check
