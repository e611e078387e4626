// The kernels for AVX-512 with the dot product of bytes (AVX512_VNNI): Cascade Lake, Ice Lake. The compile flags are
// set in CMakeLists.txt.
#define POWERHOUSE_ISA_NAMESPACE avx512_vnni
#define POWERHOUSE_VNNI

#include "kernels/cpu/vec/avx512.h"
#include "kernels/cpu/vec/bytes_avx512.h"

#include "kernels/cpu/generic/table.h"
