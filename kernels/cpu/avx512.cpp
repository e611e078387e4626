// The kernels for AVX-512 F, BW, VL and DQ. The compile flags are set in CMakeLists.txt.
#define POWERHOUSE_ISA_NAMESPACE avx512

#include "kernels/cpu/vec/avx512.h"
#include "kernels/cpu/vec/bytes_avx512.h"

#include "kernels/cpu/generic/table.h"
