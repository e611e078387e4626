// Products of few rows with weights of blocks, one problem each: arguments with gaps, the run under the shim, and the
// definition in float64 that the result is held to.
#pragma once

#include <cstdint>
#include <memory>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda_rows/device_buffers.h"

namespace powerhouse::testing {

struct FewProductCase {
  BlockFormat format = BlockFormat::q4_0;
  Element type = Element::bf16;
  std::int64_t rows = 1, blocks = 1, outputs = 1;  ///< blocks in a row of the weight
  bool bias = false;
  int multiprocessors = 1;  ///< as many blocks of threads take all outputs where they have a table of levels

  friend std::ostream& operator<<(std::ostream& out, const FewProductCase& one);
};

/// Nothing to do, nothing to add, stages that are filled again, more outputs than all blocks of threads take at once,
/// and what the engine gives: rows of the weight end within a chunk, outputs within a tile.
std::vector<FewProductCase> few_product_cases(BlockFormat format, Element type, std::mt19937& engine);

class FewProductProblem {
 public:
  FewProductProblem(const FewProductCase& one, std::mt19937& engine);

  /// "clean", or what the shim found.
  std::string run(cuda_on_host::Order order);
  /// Of the last run. Empty, or the number that differs most.
  std::string wrong() const;
  /// Of the last run. Empty, or what is not ideal: accesses of 16 bytes, bytes of the weight.
  std::string costly() const;
  const Buffer& result() const { return result_; }

 private:
  std::int64_t y_stride() const { return case_.outputs + 3; }

  FewProductCase case_;
  std::int64_t inputs_, x_stride_;
  std::vector<std::uint8_t> bytes_;
  std::vector<float> weight_;
  Buffer x_, bias_, result_;
  std::vector<cuda_on_host::LaunchReport> reports_{};
  std::uint64_t bytes_read_ = 0;
};

}  // namespace powerhouse::testing
