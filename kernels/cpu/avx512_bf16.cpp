// The kernels for AVX-512 with the bf16 dot product (AVX512_BF16): Zen 4, Cooper Lake and later. The compile flags are
// set in CMakeLists.txt.
#define POWERHOUSE_ISA_NAMESPACE avx512_bf16
#define POWERHOUSE_DOT_BF16

#include "kernels/cpu/vec/avx512.h"

#include "kernels/cpu/generic/table.h"
