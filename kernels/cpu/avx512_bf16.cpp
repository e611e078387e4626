// The kernels for AVX-512 with the dot products of bf16 and of bytes (AVX512_BF16, AVX512_VNNI): Zen 4, Cooper Lake and
// later. The compile flags are set in CMakeLists.txt.
#define POWERHOUSE_ISA_NAMESPACE avx512_bf16
#define POWERHOUSE_DOT_BF16
#define POWERHOUSE_VNNI

#include "kernels/cpu/vec/avx512.h"
#include "kernels/cpu/vec/bytes_avx512.h"

#include "kernels/cpu/generic/table.h"
