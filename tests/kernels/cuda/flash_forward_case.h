// One problem for flash attention's forward kernel: its tensors with gaps of NaN, the run under the shim, and the
// definition in float64 that it is held to.
#pragma once

#include <cstdint>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "cuda_on_host/launch.h"
#include "kernels/common/element.h"
#include "kernels/cuda/flash_attention/params.h"

namespace powerhouse::testing {

struct FlashCase {
  Element type = Element::bf16;
  int heads = 1, kv_heads = 1, head_dim = 64;
  std::vector<int> queries{64}, keys{64};  ///< by document
  bool packed = false;                     ///< with cu_seqlens; otherwise all documents are as long as the first
  int left = -1, right = -1;
  float softcap = 0;
  bool alibi = false, sinks = false;
  float scale = 0;  ///< 0: 1 / sqrt(head_dim)

  bool modified() const { return softcap > 0 || alibi; }
  friend std::ostream& operator<<(std::ostream& out, const FlashCase& one);
};

/// Shapes that go wrong first, of one head size, in bf16.
std::vector<FlashCase> flash_edge_cases(int head_dim);

/// A tensor of two-byte elements [rows, heads, head_dim] with gaps after rows and heads.
class GappedTensor {
 public:
  GappedTensor(Element type, int rows, int heads, int head_dim, int head_gap, int row_gap);

  void fill(std::uint64_t seed, float scale);  ///< the gaps stay NaN
  double at(std::int64_t row, int head, int d) const;
  std::uint16_t bits(std::int64_t row, int head, int d) const { return data_[index(row, head, d)]; }
  void* data() { return data_.data(); }
  std::size_t bytes() const { return data_.bytes(); }
  std::size_t gap_bytes() const { return bytes() - static_cast<std::size_t>(rows_ * heads_ * head_dim_) * 2; }
  std::int64_t row_stride() const { return row_stride_; }
  std::int64_t head_stride() const { return head_stride_; }

 private:
  std::size_t index(std::int64_t row, int head, int d) const {
    return static_cast<std::size_t>(row * row_stride_ + head * head_stride_ + d);
  }

  Element type_;
  std::int64_t rows_, heads_, head_dim_, head_stride_, row_stride_;
  cuda_on_host::DeviceArray<std::uint16_t> data_;
};

class FlashProblem {
 public:
  FlashProblem(const FlashCase& one, std::uint64_t seed, bool gaps = true);

  cuda_on_host::LaunchReport run(const cuda_on_host::LaunchOptions& options);
  /// What is wrong with the results of the last run; empty where nothing is.
  std::string wrong() const;
  cuda_on_host::GlobalMemory& memory() { return *memory_; }

 private:
  struct Row {
    std::vector<double> out;
    double lse, spread, largest;  // spread: the weights times absolute values, by which rounding errors are bound
  };
  Row expected(int document, int head, int query) const;
  std::string compare(int document, int head, int query, std::vector<double>& values) const;
  cuda::FlashForwardParams params();

  FlashCase case_;
  std::vector<std::int32_t> q_starts_, k_starts_;
  GappedTensor q_, k_, v_, out_;
  cuda_on_host::DeviceArray<float> lse_, slopes_, sinks_;
  std::unique_ptr<cuda_on_host::GlobalMemory> memory_;
};

}  // namespace powerhouse::testing
