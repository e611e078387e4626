// The kernel for AMX tiles of bf16 on top of AVX-512 (Sapphire Rapids and later): gemm multiplies by them. The rest of
// the table is that of avx512_bf16.cpp: dispatch.cpp puts them together. The compile flags are set in CMakeLists.txt.
#define POWERHOUSE_ISA_NAMESPACE amx
#define POWERHOUSE_DOT_BF16
#define POWERHOUSE_VNNI
#define POWERHOUSE_AMX

#include "kernels/cpu/vec/avx512.h"
#include "kernels/cpu/vec/bytes_avx512.h"

#include "kernels/cpu/generic/gemm.h"

namespace powerhouse::cpu::amx {

extern const CpuKernels kTable;
constinit const CpuKernels kTable{.name = "amx", .gemm = gemm};

void try_tiles();  // called by amx_probe.cpp
void try_tiles() {
  configure_tiles(2 * kAmxRows);
  _tile_zero(0);
  _tile_zero(4);
  _tile_zero(6);
  _tile_dpbf16ps(0, 4, 6);
  release_tiles();
}

}  // namespace powerhouse::cpu::amx
