#include "ops/matmul.h"

#include <ATen/ops/addmm_ops.h>

#include <algorithm>
#include <array>

#include "kernels/cpu/kernels.h"
#include "ops/tensors.h"
#include "support/thread_scratch.h"
#include "support/thread_team.h"

namespace powerhouse::ops {
namespace {

// Below this a tile is mostly empty.
constexpr std::int64_t kFewest = 8;

std::int64_t depth_of(std::span<const MatrixPair> pairs) {
  std::int64_t depth = 0;
  for (const MatrixPair& pair : pairs) depth += pair.a.size(1);
  return depth;
}

bool kernel_takes(const at::Tensor& y, std::span<const MatrixPair> pairs) {
  if (cpu::kernels().matmul == nullptr || y.stride(1) != 1 || std::min(y.size(0), y.size(1)) < kFewest) return false;
  if (depth_of(pairs) == 0) return false;
  return std::all_of(pairs.begin(), pairs.end(), [](const MatrixPair& pair) {
    return pair.a.is_cpu() && pair.a.scalar_type() == at::kBFloat16 && pair.b.scalar_type() == at::kBFloat16;
  });
}

// A matrix of which one stride is 1.
at::Tensor with_unit_stride(const at::Tensor& x) { return x.stride(0) == 1 || x.stride(1) == 1 ? x : x.contiguous(); }

// Blocks of y that threads take one by one: several a thread, so that none waits long for another. Those of the same
// columns share what is packed of B, unless the depth comes in several passes, so that rows are cut finer.
void cut(cpu::MatmulParams& params, std::int64_t depth) {
  constexpr std::int64_t kRowUnit = 16, kColumnUnit = 48, kFewestRows = 64;
  const bool passes = params.y_type == Element::f32 && depth > cpu::kMatmulPass;
  const std::int64_t threads = team_threads();
  const auto wanted = [&](std::int64_t each) { return passes || threads == 1 ? threads : each * threads; };
  const auto blocks = [](std::int64_t count, std::int64_t size) { return (count + size - 1) / size; };
  const auto even = [&](std::int64_t count, std::int64_t parts, std::int64_t unit) {
    return std::max<std::int64_t>(1, blocks(count, parts * unit)) * unit;
  };
  const std::int64_t most = cpu::matmul_most_columns(passes ? cpu::kMatmulPass : depth, cpu::kernels().matmul_form);
  std::int64_t columns = blocks(blocks(params.columns, most), threads) * threads;
  const std::int64_t rows = passes ? threads : blocks(wanted(16), columns);
  params.row_block = std::max(kFewestRows, even(params.rows, rows, kRowUnit));
  columns = std::max(columns, blocks(wanted(4), blocks(params.rows, params.row_block)));
  params.column_block = even(params.columns, columns, kColumnUnit);
}

void by_kernel(const at::Tensor& y, std::span<const MatrixPair> pairs, const MatmulOptions& options) {
  std::array<MatrixPair, cpu::kMatmulTerms> kept;
  std::array<cpu::MatmulTerm, cpu::kMatmulTerms> terms;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    kept[i] = {with_unit_stride(pairs[i].a), with_unit_stride(pairs[i].b)};
    const auto& [a, b] = kept[i];
    terms[i] = {.a = {a.const_data_ptr(), a.stride(0), a.stride(1)},
                .b = {b.const_data_ptr(), b.stride(1), b.stride(0)},
                .depth = a.size(1)};
  }
  const at::Tensor bias = options.bias.defined() ? options.bias.to(at::kFloat).contiguous() : at::Tensor();
  cpu::MatmulParams params{.terms = terms.data(),
                           .term_count = static_cast<int>(pairs.size()),
                           .y_type = to_element(y.scalar_type()),
                           .y = y.mutable_data_ptr(),
                           .bias = bias.defined() ? bias.const_data_ptr<float>() : nullptr,
                           .rows = y.size(0),
                           .columns = y.size(1),
                           .y_stride = y.stride(0),
                           .scale = options.scale,
                           .add = options.add};
  cut(params, depth_of(pairs));
  const std::int64_t items = (params.rows + params.row_block - 1) / params.row_block *
                             ((params.columns + params.column_block - 1) / params.column_block);
  const auto matmul = cpu::kernels().matmul;
  claim_neighbours(items, [&](auto claim) {
    cpu::MatmulRoom room{.scratch = thread_scratch(cpu::kMatmulScratchFloats)};
    for (std::int64_t item = claim(); item < items; item = claim()) matmul(params, item, room);
  });
}

// Into float32. On a device its library sums and stores so; on the CPU by ranges of rows: another temporary as large as
// y could be the peak of a step.
void widened_product(at::Tensor y, const at::Tensor& a, const at::Tensor& b, bool add, float scale) {
  if (!a.is_cpu() && y.scalar_type() == at::kFloat) {
    at::_ops::addmm_dtype_out::call(y, a, b, at::kFloat, add ? 1 : 0, scale, y);
    return;
  }
  constexpr std::int64_t kRange = 8192;
  for (std::int64_t first = 0; first < a.size(0); first += kRange) {
    const std::int64_t count = std::min(kRange, a.size(0) - first);
    at::Tensor part = a.narrow(0, first, count).mm(b).to(y.scalar_type());
    at::Tensor into = y.narrow(0, first, count);
    add ? into.add_(part, scale) : into.copy_(part.mul_(scale));
  }
}

void by_library(at::Tensor y, std::span<const MatrixPair> pairs, const MatmulOptions& options) {
  bool add = options.add;
  if (options.bias.defined()) {
    const at::Tensor bias = options.bias.to(y.scalar_type()).unsqueeze(0);
    add ? y.add_(bias) : y.copy_(bias.expand(y.sizes()));
    add = true;
  }
  for (const auto& [a, b] : pairs) {
    if (a.scalar_type() == y.scalar_type()) {
      y.addmm_(a, b, add ? 1 : 0, options.scale);
    } else {
      widened_product(y, a, b, add, options.scale);
    }
    add = true;
  }
}

}  // namespace

void sum_products(const at::Tensor& y, std::span<const MatrixPair> pairs, const MatmulOptions& options) {
  if (!kernel_takes(y, pairs)) return by_library(y, pairs, options);
  const bool whole = pairs.size() <= cpu::kMatmulTerms;
  if (whole && (y.scalar_type() == at::kFloat || depth_of(pairs) <= cpu::kMatmulDepth)) {
    return by_kernel(y, pairs, options);
  }
  // What does not fit one pass adds up in float32.
  at::Tensor sum = y.scalar_type() == at::kFloat ? y : empty_tensor(y.sizes(), at::kFloat);
  MatmulOptions part = options;
  if (!sum.is_same(y) && options.add) sum.copy_(y);
  for (std::size_t first = 0; first < pairs.size(); first += cpu::kMatmulTerms) {
    by_kernel(sum, pairs.subspan(first, std::min<std::size_t>(cpu::kMatmulTerms, pairs.size() - first)), part);
    part.bias = at::Tensor();
    part.add = true;
  }
  if (!sum.is_same(y)) at::Tensor(y).copy_(sum);
}

at::Tensor sum_of_products(std::span<const MatrixPair> pairs, at::ScalarType type, const MatmulOptions& options) {
  const at::Tensor& a = pairs.front().a;
  const at::Tensor y = empty_tensor({a.size(0), pairs.front().b.size(1)}, type, a.device());
  sum_products(y, pairs, options);
  return y;
}

}  // namespace powerhouse::ops
