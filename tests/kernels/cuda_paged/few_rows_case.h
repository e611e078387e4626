// Products of few rows on the CPU, with what stands in front and behind, and their definition in float64, which rounds
// where the kernel says that it does.
#pragma once

#include <memory>
#include <optional>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda/few_rows_product_params.h"
#include "kernels/cuda_paged/paged_case.h"

namespace powerhouse::testing {

struct FewRowsCase {
  Element type = Element::bf16;
  int rows = 1, inputs = 64;
  std::vector<int> outputs{16};  ///< by part
  bool bias = false, normed = false, norm_weight = true, unit_offset = false, round_once = false;
  bool residual = false, gated = false, to_float = false;
  cpu::ActivationKind kind = cpu::ActivationKind::silu;
  int multiprocessors = 2;
  int first_row = 0;                    ///< the name of the first row, whose numbers follow from it
  std::optional<BlockFormat> format{};  ///< of blocks
  int shared_bytes = 227 << 10;         ///< of the device
};
std::ostream& operator<<(std::ostream& out, const FewRowsCase& one);
std::vector<FewRowsCase> few_rows_edge_cases();
/// The same with blocks, and what the shape of shared memory changes.
std::vector<FewRowsCase> few_block_rows_edge_cases();
/// Formats that few_rows_product_on_host knows.
inline constexpr BlockFormat kFewRowsFormats[] = {BlockFormat::q4_0, BlockFormat::q8_0, BlockFormat::q4_k,
                                                  BlockFormat::q6_k, BlockFormat::nf4,  BlockFormat::iq2_xs};

class FewRowsProblem {
 public:
  explicit FewRowsProblem(const FewRowsCase& one);
  /// Null: refused.
  std::unique_ptr<CountingLauncher> run(cuda_on_host::Order order);
  /// What of y is wrong; empty: nothing.
  std::string wrong() const;
  std::vector<std::uint8_t> row_bits(int row) const;

 private:
  using Bytes = cuda_on_host::DeviceArray<std::uint8_t>;
  double at(const Bytes& bytes, std::int64_t place) const;
  double rounded(double value) const;
  void add_blocks(int outputs);
  double weight(std::size_t part, std::int64_t place) const;
  std::vector<double> read_row(int row) const;
  std::int64_t y_stride(std::size_t part) const { return case_.outputs[part] + 3; }
  Element y_type() const { return case_.to_float ? Element::f32 : case_.type; }
  std::size_t results() const { return case_.gated ? 1 : case_.outputs.size(); }

  FewRowsCase case_;
  int x_stride_;
  std::unique_ptr<Bytes> x_, norm_weight_, residual_;
  std::vector<std::unique_ptr<Bytes>> weights_, biases_, y_;
  std::vector<std::vector<float>> numbers_{};  // of blocks
  std::mt19937 engine_{17};
};

/// RoPE on the way into the cache.
struct TurnedCase {
  CacheCase cache{};
  Element type = Element::bf16;
  int heads = 2, rotary_dim = 64;
  bool interleaved = false;
};
/// What is wrong where queries and the cache must have the bits of a rotation and a paged_write behind it; empty:
/// nothing.
std::string wrong_turn(const TurnedCase& turned, cuda_on_host::Order order);

}  // namespace powerhouse::testing
