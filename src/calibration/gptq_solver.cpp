#include "calibration/gptq_solver.h"

#include <ATen/ops/arange_ops.h>
#include <ATen/ops/cholesky_inverse_ops.h>
#include <ATen/ops/linalg_cholesky_ex_ops.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "support/thread_team.h"

namespace powerhouse {
namespace {

constexpr std::int64_t kSolvedRowsAtOnce = 64;  // of a block of columns: 32 KiB, which stay in the first-level cache

// The transposed upper factor of the inverse, or nothing.
at::Tensor inverse_factor(const at::Tensor& damped) {
  const auto [lower, failed] = at::_ops::linalg_cholesky_ex::call(damped, /*upper=*/false, /*check_errors=*/false);
  if (failed.item<int>() != 0) return {};
  const at::Tensor inverse = at::_ops::cholesky_inverse::call(lower, /*upper=*/false);
  const auto [upper, failed_again] = at::_ops::linalg_cholesky_ex::call(inverse, /*upper=*/true, false);
  if (failed_again.item<int>() != 0 || !upper.isfinite().all().item<bool>()) return {};
  return upper.contiguous();
}

// Columns in groups of which none goes across a block's end.
std::int64_t block_of(const GptqRule& rule, std::int64_t group) {
  if (group <= rule.block_size) return rule.block_size / group * group;
  return group % rule.block_size == 0 ? rule.block_size : group;
}

struct Problem {
  const GptqRule& rule;
  std::int64_t rows, columns, group, block;
  float* weights;        // [columns, rows], columns in the factor's order
  const float* upper;    // [columns, columns], or null
  std::int64_t* order;   // of columns
  const float* costs;    // of an error in each column, likewise
  bool grids_are_fixed;  // by place, in `scales` and `zeros`
  float* codes;          // [columns, rows]
  float* errors;         // [block, rows], over U's diagonal
  float* scales;         // [groups, rows]
  float* zeros;

  std::int64_t group_at(std::int64_t i) const { return (grids_are_fixed ? order[i] : i) / group; }
};

// Rows [first, first + count) of columns [begin, end): each is rounded, and those behind it in the block are changed.
void solve_block(const Problem& p, std::int64_t begin, std::int64_t end, std::int64_t first, std::int64_t count,
                 float* __restrict room) {
  for (std::int64_t i = begin; i < end; ++i) {
    std::copy_n(p.weights + i * p.rows + first, count, room + (i - begin) * kSolvedRowsAtOnce);
  }
  float values[kSolvedRowsAtOnce];
  float error[kSolvedRowsAtOnce] = {};  // beyond `count` nothing is wrong
  for (std::int64_t i = begin; i < end; ++i) {
    float* const scales = p.scales + p.group_at(i) * p.rows + first;
    float* const zeros = p.zeros + p.group_at(i) * p.rows + first;
    float* const own = room + (i - begin) * kSolvedRowsAtOnce;
    if (!p.grids_are_fixed && i % p.group == 0) {
      // A group that is longer than the block stands in the weights as earlier blocks left them.
      const bool inside = i + p.group <= end;
      find_grids(p.rule.grid, inside ? own : p.weights + i * p.rows + first, p.group,
                 inside ? kSolvedRowsAtOnce : p.rows, count, p.costs + i, scales, zeros);
    }
    round_to_grids(p.rule.grid.largest(), own, scales, zeros, count, p.codes + i * p.rows + first, values);
    if (p.upper != nullptr) {
      const float* const upper = p.upper + i * p.columns;
      const float diagonal = upper[i];
      for (std::int64_t r = 0; r < count; ++r) error[r] = (own[r] - values[r]) / diagonal;
      for (std::int64_t j = i + 1; j < end; ++j) {
        float* __restrict other = room + (j - begin) * kSolvedRowsAtOnce;
        const float share = upper[j];
        for (std::int64_t r = 0; r < kSolvedRowsAtOnce; ++r) other[r] -= error[r] * share;
      }
      std::copy_n(error, count, p.errors + (i - begin) * p.rows + first);
    }
    std::copy_n(values, count, p.weights + i * p.rows + first);  // of a column that nobody reads any more
  }
}

// What an error in a column costs in the end, with all that those behind it take back: 1 / U_ii^2.
std::vector<float> costs_of(const HessianFactor& factor, std::int64_t columns) {
  std::vector<float> costs(static_cast<std::size_t>(columns), 1.0f);
  if (!factor.upper.defined()) return costs;
  const float* const upper = factor.upper.const_data_ptr<float>();
  for (std::size_t i = 0; i < costs.size(); ++i) {
    const float diagonal = upper[i * (costs.size() + 1)];
    costs[i] = 1.0f / (diagonal * diagonal);
  }
  return costs;
}

void check_scales(const at::Tensor& scales, const std::string& name) {
  if (scales.isfinite().all().item<bool>()) return;
  throw Error(ErrorKind::numeric, "weights are too large for scales in float16", {.field = name});
}

}  // namespace

void check_group_size(std::int64_t columns, std::int64_t group_size, const std::string& name) {
  if (group_size == -1 || (group_size > 0 && columns % group_size == 0)) return;
  std::string sizes;
  for (const std::int64_t size : {128, 64, 32}) {
    if (columns % size == 0) sizes += (sizes.empty() ? "" : ", ") + std::to_string(size);
  }
  throw Error(ErrorKind::unsupported, "the group size does not divide the inputs of a layer",
              {.field = name,
               .expected = (sizes.empty() ? "" : sizes + " or ") + "-1, of " + std::to_string(columns) + " inputs",
               .found = std::to_string(group_size)});
}

HessianFactor factor_hessian(const at::Tensor& hessian, const GptqRule& rule, const std::string& name) {
  at::Tensor h = hessian.clone();
  at::Tensor diagonal = h.diagonal();
  if (!h.isfinite().all().item<bool>()) {
    throw Error(ErrorKind::numeric, "the inputs of a layer are not finite on the calibration text", {.field = name});
  }
  HessianFactor factor;
  const at::Tensor dead = diagonal.eq(0);
  factor.dead_columns = dead.sum().item<std::int64_t>();
  diagonal.masked_fill_(dead, 1.0);
  if (rule.desc_act) {
    const at::Tensor order = std::get<1>(diagonal.sort(/*stable=*/true, /*dim=*/0, /*descending=*/true));
    h = h.index_select(0, order).index_select(1, order);
    diagonal = h.diagonal();
    factor.order.assign(order.const_data_ptr<std::int64_t>(), order.const_data_ptr<std::int64_t>() + order.numel());
  }
  const at::Tensor undamped = diagonal.clone();
  const double mean = undamped.mean().item<double>();
  for (double damp = rule.damp_percent; damp <= 1.0; damp = std::max(2 * damp, 0.001)) {
    diagonal.copy_(undamped.add(damp * mean));
    factor.upper = inverse_factor(h);
    factor.damp_percent = damp;
    if (factor.upper.defined()) return factor;
  }
  throw Error(ErrorKind::numeric, "the Hessian of a layer is not positive definite, however it is damped",
              {.field = name});
}

GptqSolution solve_gptq(const at::Tensor& matrix, const HessianFactor& factor, const GptqRule& rule,
                        const std::string& name) {
  const std::int64_t rows = matrix.size(0), columns = matrix.size(1);
  check_group_size(columns, rule.group_size, name);
  const std::int64_t group = rule.group_size == -1 ? columns : rule.group_size;
  if (!matrix.isfinite().all().item<bool>()) {
    throw Error(ErrorKind::numeric, "weights are not finite", {.field = name});
  }
  std::vector<std::int64_t> order = factor.order;
  const bool moved = !order.empty();
  if (!moved) {
    order.resize(static_cast<std::size_t>(columns));
    std::iota(order.begin(), order.end(), 0);
  }
  const at::Tensor in_place = matrix.t().contiguous();
  const at::Tensor weights = moved ? in_place.index_select(0, index_tensor(order)) : in_place;
  const at::Tensor codes = empty_tensor({columns, rows}, at::kFloat);
  const at::Tensor scales = empty_tensor({columns / group, rows}, at::kFloat);
  const at::Tensor zeros = empty_tensor({columns / group, rows}, at::kFloat);
  const std::vector<float> costs = costs_of(factor, columns);
  Problem problem{.rule = rule,
                  .rows = rows,
                  .columns = columns,
                  .group = group,
                  .block = block_of(rule, group),
                  .weights = weights.mutable_data_ptr<float>(),
                  .upper = factor.upper.defined() ? factor.upper.const_data_ptr<float>() : nullptr,
                  .order = order.data(),
                  .costs = costs.data(),
                  .grids_are_fixed = rule.static_groups || group == columns || !factor.upper.defined(),
                  .codes = codes.mutable_data_ptr<float>(),
                  .errors = nullptr,
                  .scales = scales.mutable_data_ptr<float>(),
                  .zeros = zeros.mutable_data_ptr<float>()};
  const at::Tensor errors = empty_tensor({problem.block, rows}, at::kFloat);
  problem.errors = errors.mutable_data_ptr<float>();
  const std::int64_t chunks = (rows + kSolvedRowsAtOnce - 1) / kSolvedRowsAtOnce;
  const auto for_rows = [&](const auto& body) {
    parallel_for(chunks, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t chunk = begin; chunk < end; ++chunk) {
        body(chunk * kSolvedRowsAtOnce, std::min(kSolvedRowsAtOnce, rows - chunk * kSolvedRowsAtOnce));
      }
    });
  };
  if (problem.grids_are_fixed) {
    const auto* const own = in_place.const_data_ptr<float>();
    std::vector<float> by_place(costs.size());
    for (std::size_t i = 0; i < costs.size(); ++i) by_place[static_cast<std::size_t>(order[i])] = costs[i];
    for_rows([&](std::int64_t first, std::int64_t count) {
      for (std::int64_t g = 0; g < columns / group; ++g) {
        find_grids(rule.grid, own + g * group * rows + first, group, rows, count, by_place.data() + g * group,
                   problem.scales + g * rows + first, problem.zeros + g * rows + first);
      }
    });
  }
  for (std::int64_t begin = 0; begin < columns; begin += problem.block) {
    const std::int64_t end = std::min(begin + problem.block, columns);
    for_rows([&](std::int64_t first, std::int64_t count) {
      std::vector<float> room(static_cast<std::size_t>(problem.block * kSolvedRowsAtOnce));
      solve_block(problem, begin, end, first, count, room.data());
    });
    if (end == columns || problem.upper == nullptr) continue;
    const at::Tensor behind = factor.upper.narrow(0, begin, end - begin).narrow(1, end, columns - end);
    weights.narrow(0, end, columns - end).addmm_(behind.t(), errors.narrow(0, 0, end - begin), 1.0, -1.0);
  }
  check_scales(scales, name);

  GptqSolution out;
  at::Tensor back;  // where each column stands
  if (moved) {
    std::vector<std::int64_t> places(order.size());
    for (std::size_t i = 0; i < order.size(); ++i)
      places[static_cast<std::size_t>(order[i])] = static_cast<std::int64_t>(i);
    back = index_tensor(places);
  }
  const auto in_order = [&](const at::Tensor& x) { return (moved ? x.index_select(0, back) : x).t().contiguous(); };
  out.values = in_order(weights);
  const at::Tensor whole = in_order(codes).to(at::kByte);
  const at::Tensor by_row = scales.t().contiguous();
  const at::Tensor zeros_by_row = zeros.t().to(at::kInt).contiguous();
  const auto vector_of = [](const at::Tensor& x, auto one) {
    const auto* const data = x.const_data_ptr<decltype(one)>();
    return std::vector<decltype(one)>(data, data + x.numel());
  };
  out.codes = {.bits = rule.grid.bits,
               .outputs = rows,
               .inputs = columns,
               .group = rule.group_size,
               .codes = vector_of(whole, std::uint8_t{}),
               .scales = vector_of(by_row, float{}),
               .zeros = vector_of(zeros_by_row, std::int32_t{})};
  if (moved && !problem.grids_are_fixed) {
    out.codes.group_of.resize(order.size());
    for (std::int64_t i = 0; i < columns; ++i) {
      out.codes.group_of[static_cast<std::size_t>(order[static_cast<std::size_t>(i)])] =
          static_cast<std::int32_t>(problem.group_at(i));
    }
  }
  return out;
}

}  // namespace powerhouse
