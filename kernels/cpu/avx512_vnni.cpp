// The kernels for AVX-512 with the dot products of integers (AVX512_VNNI): Cascade Lake, Ice Lake. The rest of the
// table is that of avx512.cpp: dispatch.cpp puts them together. The compile flags are set in CMakeLists.txt.
#define POWERHOUSE_ISA_NAMESPACE avx512_vnni
#define POWERHOUSE_VNNI

#include "kernels/cpu/vec/avx512.h"
#include "kernels/cpu/vec/bytes_avx512.h"

#include "kernels/cpu/generic/matmul.h"
#include "kernels/cpu/generic/packed_linear.h"

namespace powerhouse::cpu::avx512_vnni {

extern const CpuKernels kTable;
constinit const CpuKernels kTable{
    .name = "avx512_vnni", .packed_linear = packed_linear, .matmul = matmul, .matmul_form = kMatmulForm};

}  // namespace powerhouse::cpu::avx512_vnni
