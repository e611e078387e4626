// The kernels for AVX2 with FMA and F16C. The compile flags are set in CMakeLists.txt.
#define POWERHOUSE_ISA_NAMESPACE avx2

#include "kernels/cpu/vec/avx2.h"
#include "kernels/cpu/vec/bytes_avx2.h"

#include "kernels/cpu/generic/table.h"
