// Weights of GPTQ and AWQ as files hold them, of random codes, scales and zeros, and what they mean.
#pragma once

#include <cstdint>
#include <ostream>
#include <random>
#include <vector>

#include "kernels/common/element.h"
#include "kernels/cuda/gptq_product_params.h"

namespace powerhouse::testing {

struct RepackedCase {
  cuda::PackedLayout layout = cuda::PackedLayout::gptq;
  int bits = 4;
  std::int64_t group = 32, inputs = 32, outputs = 8, rows = 1;
  bool ordered = false, symmetric = false;
  int zero_offset = 0;
  Element type = Element::bf16;
  int multiprocessors = 1;
  bool bias = false, gaps = true;

  friend std::ostream& operator<<(std::ostream& out, const RepackedCase& one);
};

/// A weight as a file holds it.
struct PackedWeight {
  cuda::PackedLayout layout = cuda::PackedLayout::gptq;
  int bits = 4, zero_offset = 0;
  std::int64_t group = 0, inputs = 0, outputs = 0;
  std::vector<std::int32_t> qweight{}, qzeros{}, g_idx{};
  std::vector<float16> scales{};
  std::vector<double> weight{};  ///< [outputs, inputs]: what it means
};
PackedWeight random_packed(const RepackedCase& one, std::mt19937& engine);

/// The order in which the inputs' groups come one after another (act-order); empty where they do already.
std::vector<std::int32_t> order_of(const PackedWeight& packed);

}  // namespace powerhouse::testing
