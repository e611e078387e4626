// Weights of GPTQ, AWQ and their kin (AFFINE blocks) on a device: repacked once for tensor cores
// (kernels/cuda/gptq_product_params.h), in the order of the blocks' columns. Codes, scales and zeros stay the file's.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "ops/weight.h"

namespace powerhouse {

/// Whether a device takes such a matrix, multiplied in this type: its kernels know bf16 and f16.
bool repacks(const at::Device& device, const StoredWeight& stored, at::ScalarType type);

/// `codes` are what Weight::device_blocks is then. Nothing where the zeros are more than the kernels know.
struct RepackedMatrix {
  at::Tensor codes;
  RepackedBlocks blocks;
};
std::optional<RepackedMatrix> repacked(const StoredWeight& stored, const at::Device& device);

/// The matrix as numbers, [out, in] in its own order of columns.
at::Tensor repacked_numbers(const Weight& weight, at::ScalarType type);

/// y = x Wᵀ + b of a repacked weight, [rows, out]; undefined where there is no kernel: float32, and so many rows that
/// numbers are better made first.
at::Tensor repacked_product(const at::Tensor& x, const Weight& weight, const at::Tensor& bias);

}  // namespace powerhouse
