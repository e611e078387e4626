// The kernels in plain C++, for any processor. The compile flags are set in CMakeLists.txt.
#define POWERHOUSE_ISA_NAMESPACE scalar

#include "kernels/cpu/vec/scalar.h"
#include "kernels/cpu/vec/bytes_scalar.h"

#include "kernels/cpu/generic/table.h"
