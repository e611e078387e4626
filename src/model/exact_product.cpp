#include "model/exact_product.h"

#include <vector>

#include "model/few_rows.h"
#include "ops/exact.h"
#include "ops/linear.h"
#include "ops/tensors.h"

namespace powerhouse {
namespace {

// Codes of all rows, as far as the matrix reads them.
struct Codes {
  std::vector<std::int16_t> codes;
  std::vector<float> scales, totals;
  std::vector<std::int32_t> sums;
  cpu::QuantizedRows rows{};

  Codes(const at::Tensor& x, bool needed) {
    if (!needed) return;
    const auto size = static_cast<std::size_t>(x.numel());
    codes.resize(size);
    scales.resize(size / 32);
    totals.resize(size / 32);
    sums.resize(size / 16);
    rows = {codes.data(), scales.data(), totals.data(), sums.data(), x.size(1)};
    const cpu::QuantizeParams params{.x = x.const_data_ptr(), .size = x.size(1), .x_stride = x.stride(0), .out = rows};
    parallel_for(x.size(0), 16,
                 [&](std::int64_t begin, std::int64_t end) { cpu::kernels().quantize(params, begin, end); });
  }
};

}  // namespace

at::Tensor multiply_rows(const PlanMatrix& matrix, const at::Tensor& x) {
  ops::check_exact({x});
  at::Tensor rows = x.detach();
  if (matrix.order) {
    const std::vector<std::int64_t> order(matrix.order->begin(), matrix.order->end());
    rows = rows.index_select(1, index_tensor(order));
  }
  rows = rows.contiguous();
  at::Tensor y = empty_tensor({rows.size(0), matrix.outputs}, at::kFloat);
  auto* const to = y.mutable_data_ptr<float>();
  const Codes codes(rows, matrix.packed.has_value());
  const FewRows all{
      .x = rows.const_data_ptr<float>(), .x_stride = rows.size(1), .codes = codes.rows, .rows = rows.size(0)};
  parallel_for(panel_count(matrix.outputs), 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> tile(matrix.blocks ? static_cast<std::size_t>(kPanelRows * matrix.inputs) : 0);
    FewRows input = all;
    input.tile = tile.data();
    multiply_few(cpu::kernels(), matrix, input, {begin, end}, to, matrix.outputs);
  });
  return y;
}

at::Tensor planned_linear(const PlanMatrix& matrix, const LayerWeights& weights, Role role, const at::Tensor& x) {
  return ops::differentiable_as(multiply_rows(matrix, x), needs_autograd(x),
                                [&] { return ops::linear(x, weights.matrix(role), weights.bias(role)); });
}

}  // namespace powerhouse
