// The operations of a whole warp on fragments of matrices: ldmatrix, stmatrix, movmatrix, mma.sync.
//
// Sums are of float32 in order of k; a device's tensor cores add in an order and with a precision of their own, so that
// results are compared with tolerances.
#pragma once

#include <cstdint>

#include "cuda_on_host/named_float.h"
#include "kernels/common/float16.h"

namespace powerhouse::cuda_on_host {

/// `count` matrices of 8 x 8 elements of 16 bits (1, 2 or 4); lanes 8 m to 8 m + 7 give the rows of matrix m.
void load_matrix(std::uint32_t* registers, const void* row, unsigned count, bool transposed);
void store_matrix(const std::uint32_t* registers, void* row, unsigned count, bool transposed);
/// One such matrix in the lanes' registers: rows become columns.
std::uint32_t transpose_matrix(std::uint32_t rows);

/// d += a b, with a [m16, k] in rows and b [k, n8] in columns.
void multiply_16816(float* d, const std::uint32_t* a, const std::uint32_t* b, bfloat16);
void multiply_16816(float* d, const std::uint32_t* a, const std::uint32_t* b, float16);
void multiply_16816(float* d, const std::uint32_t* a, const std::uint32_t* b, NamedFloat);
void multiply_16832(std::int32_t* d, const std::uint32_t* a, const std::uint32_t* b);  // int8
void multiply_1688(float* d, const std::uint32_t* a, const std::uint32_t* b);          // tf32

}  // namespace powerhouse::cuda_on_host
