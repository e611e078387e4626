// GPTQ (Frantar et al. 2023, arXiv 2210.17323): columns of a matrix are rounded one after the other, and what rounding
// one costs is taken back by those behind it, as the Hessian of the layer's squared error says.
//
// The error of rows W' in the place of W over inputs X is tr((W - W') H (W - W')^T) with H = 2 X^T X / tokens. With U
// the upper Cholesky factor of the inverse of H, the best answer to an error e in column i is to subtract e U[i, j] /
// U[i, i] from each column j behind it (the paper's equation 3, its steps 2 and 3).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "calibration/group_grid.h"
#include "formats/grouped_codes.h"

namespace powerhouse {

struct GptqRule {
  GridRule grid{};
  std::int64_t group_size = 128;  ///< divides the columns; -1: all of them
  bool desc_act = false;          ///< columns of large inputs first
  bool static_groups = false;     ///< grids by the columns' own places, from the weights before any is changed
  double damp_percent = 0.01;     ///< of the mean of H's diagonal, added to it
  std::int64_t block_size = 128;  ///< columns that are changed at once behind a block
};

/// What all matrices that read the same inputs share.
struct HessianFactor {
  at::Tensor upper;                   ///< U, float32 [columns, columns], columns in `order`
  std::vector<std::int64_t> order{};  ///< which column stands where; empty: as they are
  double damp_percent = 0;            ///< what made H positive definite, at least what was asked for
  std::int64_t dead_columns = 0;      ///< inputs that were zero in every token
};

/// `hessian` float32 [columns, columns], of any positive scale. Where it is not positive definite with the damping
/// asked for, that is doubled until it is. Error{numeric} naming `name` where it holds NaN or infinity, or nothing
/// helps.
HessianFactor factor_hessian(const at::Tensor& hessian, const GptqRule& rule, const std::string& name);

struct GptqSolution {
  GroupedCodes codes;
  at::Tensor values;  ///< what the codes say, float32 [rows, columns]
};

/// `matrix` float32 [rows, columns]. Without a factor (undefined `upper`) columns are rounded to nearest, each for
/// itself. Error{unsupported} naming `name` for a group size that does not divide the columns; Error{numeric} for
/// weights that are not finite, or whose scale float16 can't hold.
GptqSolution solve_gptq(const at::Tensor& matrix, const HessianFactor& factor, const GptqRule& rule,
                        const std::string& name);

/// Error{unsupported} naming `name` where no group of the size divides the columns.
void check_group_size(std::int64_t columns, std::int64_t group_size, const std::string& name);

}  // namespace powerhouse
