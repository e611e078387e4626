// Products on tensor cores, one problem each: arguments with gaps, the run under the shim, and the format's definition
// in float64 that the result is held to.
#pragma once

#include <memory>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda_products/packed_weight.h"
#include "kernels/cuda_products/products_on_host.h"

namespace powerhouse::testing {

/// x [rows, inputs] with gaps of NaN unless asked without, bias and y: what both kinds of problem share.
class ProductBuffers {
 public:
  ProductBuffers(Element type, std::int64_t rows, std::int64_t inputs, std::int64_t outputs, bool bias, bool gaps,
                 std::mt19937& engine);

  /// Into the arguments of either kernel.
  template <typename Params>
  void give(Params& params) {
    params.type = type;
    params.x = x.data();
    params.bias = has_bias ? bias.data() : nullptr;
    params.y = y.data();
    params.rows = rows;
    params.x_stride = x_stride;
    params.y_stride = y_stride;
  }
  void add_to(cuda_on_host::GlobalMemory& memory);
  double x_at(std::int64_t row, std::int64_t input) const;
  /// `weight` [outputs, inputs]. Empty, or the number that differs most.
  std::string wrong(const std::vector<double>& weight) const;
  std::vector<std::uint16_t> result() const { return {y.data(), y.data() + y.size()}; }

  Element type;
  std::int64_t rows, inputs, outputs, x_stride, y_stride;
  bool has_bias;
  cuda_on_host::DeviceArray<std::uint16_t> x, bias, y;
};

struct BlocksCase {
  BlockFormat format = BlockFormat::q4_0;
  Element type = Element::bf16;
  std::int64_t rows = 17, blocks = 1, outputs = 1;  ///< blocks in a row of the weight
  int multiprocessors = 1;
  bool bias = false, gaps = true;

  friend std::ostream& operator<<(std::ostream& out, const BlocksCase& one);
};

class BlocksProblem {
 public:
  BlocksProblem(const BlocksCase& one, std::uint64_t seed);

  /// "clean", or what the shim found.
  std::string run(cuda_on_host::Order order, std::int64_t traffic_block = -1);
  std::string wrong() const { return buffers_.wrong(weight_); }
  std::vector<std::uint16_t> result() const { return buffers_.result(); }
  /// Bytes of the weight that the last run read, for each byte that it has.
  double bytes_read() const;
  std::vector<cuda_on_host::LaunchReport> reports{};

 private:
  BlocksCase case_;
  std::mt19937 engine_;
  ProductBuffers buffers_;
  std::vector<std::uint8_t> bytes_;
  std::vector<double> weight_;  // rounded to the type
  std::unique_ptr<cuda_on_host::GlobalMemory> memory_;
};

/// The weight repacked under the shim, and what follows from it. Of a case with a weight of its own type, rows, bias,
/// gaps and multiprocessors are used.
class RepackedProblem {
 public:
  RepackedProblem(PackedWeight packed, const RepackedCase& one, std::uint64_t seed);
  RepackedProblem(const RepackedCase& one, std::uint64_t seed);

  std::string repack(cuda_on_host::Order order);
  /// "clean", or what the shim found; the other functions follow repack().
  std::string run(cuda_on_host::Order order, std::int64_t traffic_block = -1);
  std::string wrong() const { return buffers_.wrong(packed_.weight); }
  std::vector<std::uint16_t> result() const { return buffers_.result(); }
  /// As numbers of a type: "clean", what the shim found, or the first number that is not the weight's.
  std::string dequantize(Element type, cuda_on_host::Order order);
  double bytes_read() const;
  std::vector<cuda_on_host::LaunchReport> reports{};

 private:
  cuda::RepackedWeight repacked() const;

  PackedWeight packed_;
  std::mt19937 engine_;
  ProductBuffers buffers_;
  int multiprocessors_;
  cuda_on_host::DeviceArray<std::int32_t> qweight_, qzeros_, order_;
  cuda_on_host::DeviceArray<float16> scales_;
  cuda_on_host::DeviceArray<std::uint8_t> codes_;
  cuda_on_host::DeviceArray<std::uint32_t> levels_;
  bool ordered_ = false;
  std::unique_ptr<cuda_on_host::GlobalMemory> memory_;
};

/// Empty, or what is not ideal: the sectors of each access to global memory, the cycles of each to shared memory, save
/// loads of less than 16 bytes where they may cost `most` times that.
std::string traffic_complaint(const cuda_on_host::LaunchReport& report, double most = 1);

}  // namespace powerhouse::testing
