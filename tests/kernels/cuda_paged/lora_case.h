// One problem of low-rank terms of several adapters, and the definition in float64.
#pragma once

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "kernels/cuda_paged/paged_on_host.h"

namespace powerhouse::testing {

struct LoraCase {
  Element type = Element::bf16, weight_type = Element::bf16;
  int inputs = 64, outputs = 48;
  std::vector<int> ranks{8};
  std::vector<std::int32_t> adapters{0};  ///< by row
  bool aligned = true;
  bool gaps = true;          ///< after rows
  std::vector<int> names{};  ///< of rows, from which their numbers follow; empty: 0, 1, ...

  friend std::ostream& operator<<(std::ostream& out, const LoraCase& one);
};

std::vector<LoraCase> lora_edge_cases();

class LoraProblem {
 public:
  explicit LoraProblem(const LoraCase& one);

  CountingLauncher run(cuda_on_host::Order order, std::int64_t traffic_block = -1);
  /// What is wrong with the results of the last run; empty where nothing is.
  std::string wrong() const;
  std::vector<std::uint8_t> row_bits(int row) const;

 private:
  using Bytes = cuda_on_host::DeviceArray<std::uint8_t>;
  double a(int adapter, int rank, int input) const;
  double b(int adapter, int output, int rank) const;
  std::vector<double> inner(int row) const;  ///< A x
  double term(int row, int output, const std::vector<double>& inner, double& spread) const;

  LoraCase case_;
  int rows_, most_rank_, x_stride_, y_stride_;
  std::unique_ptr<Bytes> x_, y_, y_before_;
  std::vector<std::unique_ptr<Bytes>> a_, b_;
  std::vector<const void*> a_at_, b_at_;
  std::vector<float> scales_;
  std::unique_ptr<cuda_on_host::DeviceArray<float>> workspace_;
};

}  // namespace powerhouse::testing
