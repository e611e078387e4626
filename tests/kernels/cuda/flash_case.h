// One problem for flash attention's kernels: its tensors with gaps of NaN, and the weights by definition in float64.
#pragma once

#include <algorithm>
#include <cstdint>
#include <ostream>
#include <vector>

#include "cuda_on_host/memory.h"
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
  float dropout = 0;
  bool one_hot = false;  ///< values, and gradients of out: row r has its one at r, so that results show weights
  int slices = 0;        ///< of backward

  bool modified() const { return softcap > 0 || alibi || dropout > 0; }
  friend std::ostream& operator<<(std::ostream& out, const FlashCase& one);
};

/// Shapes that go wrong first, of one head size, in bf16.
std::vector<FlashCase> flash_edge_cases(int head_dim);

/// A case that a seed makes, of head sizes that a tile holds.
FlashCase random_flash_case(std::uint64_t seed, int least, int most);

/// Head sizes of the tiles.
inline constexpr int kFlashHeadDims[] = {64, 96, 128, 256}, kFlashBackwardHeadDims[] = {64, 128, 256};

/// The smallest head size that goes to the tile of `head_dim`.
template <std::size_t kCount>
int least_head_dim(const int (&tiles)[kCount], int head_dim) {
  int below = 0;
  for (const int tile : tiles) below = tile < head_dim ? tile : below;
  return below + 8;
}

/// A tensor of two-byte elements [rows, heads, head_dim] with gaps after rows and heads.
class GappedTensor {
 public:
  GappedTensor(Element type, int rows, int heads, int head_dim, int head_gap, int row_gap);

  void fill(std::uint64_t seed, float scale);  ///< the gaps stay NaN
  void fill_one_hot();
  double at(std::int64_t row, int head, int d) const;
  void set(std::int64_t row, int head, int d, double value) {
    write_element(data_.data(), type_, static_cast<std::int64_t>(index(row, head, d)), static_cast<float>(value));
  }
  void* data() { return data_.data(); }
  const void* data() const { return data_.data(); }
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

/// What a query sees: the keys from `begin` on.
struct FlashWeights {
  int begin = 0;
  std::vector<double> weight{};      ///< softmax of the scores
  std::vector<double> derivative{};  ///< of the score by the product q k
  std::vector<double> kept{};        ///< what dropout multiplies the weight by
  double lse = 0, largest = 0;       ///< largest: of the scores' absolute values
};

/// The tensors of a case, in float16 or bfloat16 numbers that a seed makes.
struct FlashInputs {
  FlashInputs(const FlashCase& one, std::uint64_t seed, bool gaps);

  cuda::FlashForwardParams params();
  void add_inputs(cuda_on_host::GlobalMemory& memory);  ///< out and lse are not among them
  FlashWeights weights(int document, int head, int query) const;
  std::size_t lse_index(int document, int head, int query) const;
  int kv_head(int head) const { return head / (one.heads / one.kv_heads); }
  int queries(int document) const { return length(q_starts, document); }
  int keys(int document) const { return length(k_starts, document); }
  cuda::VectorStrides q_strides(const GappedTensor& tensor) const { return strides(tensor, one.queries); }
  cuda::VectorStrides k_strides(const GappedTensor& tensor) const { return strides(tensor, one.keys); }

  FlashCase one;
  std::uint64_t seed;
  std::vector<std::int32_t> q_starts, k_starts;
  GappedTensor q, k, v, out;
  cuda_on_host::DeviceArray<float> lse, slopes, sinks;

 private:
  static int length(const std::vector<std::int32_t>& starts, int document) {
    return starts[static_cast<std::size_t>(document) + 1] - starts[static_cast<std::size_t>(document)];
  }
  static cuda::VectorStrides strides(const GappedTensor& tensor, const std::vector<int>& lengths) {
    return {*std::max_element(lengths.begin(), lengths.end()) * tensor.row_stride(), tensor.row_stride(),
            tensor.head_stride()};
  }
};

}  // namespace powerhouse::testing
