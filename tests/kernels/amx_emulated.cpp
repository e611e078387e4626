// gemm over AMX's tiles in plain C++ (kernels/cpu/vec/amx.h), for processors that have AVX-512 BF16 but no tiles.
#define POWERHOUSE_ISA_NAMESPACE amx_emulated
#define POWERHOUSE_DOT_BF16
#define POWERHOUSE_VNNI
#define POWERHOUSE_AMX
#define POWERHOUSE_AMX_EMULATED

#include "kernels/cpu/vec/avx512.h"
#include "kernels/cpu/vec/bytes_avx512.h"

#include "kernels/cpu/generic/gemm.h"

namespace powerhouse::cpu::amx_emulated {

extern void (*const kGemm)(const GemmParams&, std::int64_t begin, std::int64_t end, float* scratch);
void (*const kGemm)(const GemmParams&, std::int64_t begin, std::int64_t end, float* scratch) = gemm;

}  // namespace powerhouse::cpu::amx_emulated
