// Picks the kernel table at run time: CPUID says what the processor has, XGETBV what the system saves on a switch.
//
// The probe is explicit, because a hypervisor may offer instructions whose registers the kernel does not keep.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "kernels/cpu/kernels.h"

#ifdef POWERHOUSE_CPU_X86
#include <cpuid.h>

#include "kernels/cpu/amx_probe.h"
#endif

namespace powerhouse::cpu {

namespace scalar {
extern const CpuKernels kTable;
}
#ifdef POWERHOUSE_CPU_X86
namespace avx2 {
extern const CpuKernels kTable;
}
namespace avx512 {
extern const CpuKernels kTable;
}
namespace avx512_vnni {
extern const CpuKernels kTable;
}
namespace avx512_bf16 {
extern const CpuKernels kTable;
}
namespace amx {
extern const CpuKernels kTable;
}
#endif

namespace {

struct Features {
  bool avx2 = false;         // with FMA and F16C
  bool avx512 = false;       // F, BW, VL and DQ
  bool avx512_vnni = false;  // the dot products of bytes and of 16-bit integers
  bool avx512_bf16 = false;  // that and the bf16 dot product
  bool amx = false;          // that and tiles of bf16, which threads may use
  bool slow_bf16 = false;    // the bf16 dot product takes longer than the float32 multiplications it stands for
};

#ifdef POWERHOUSE_CPU_X86
Features probe() {
  struct Registers {
    unsigned a = 0, b = 0, c = 0, d = 0;
    static bool bit(unsigned word, int index) { return (word >> index & 1u) != 0; }
  };
  Features features;
  Registers basic;
  Registers extended;
  Registers extended1;
  if (__get_cpuid(1, &basic.a, &basic.b, &basic.c, &basic.d) == 0) return features;
  if (__get_cpuid_count(7, 0, &extended.a, &extended.b, &extended.c, &extended.d) == 0) return features;
  if (extended.a >= 1) __get_cpuid_count(7, 1, &extended1.a, &extended1.b, &extended1.c, &extended1.d);
  // Intel's cores begin a vdpbf16ps of 512 bits every second cycle and two fused multiplications in each (measured on a
  // Xeon of the fifth generation: 81 and 166 GFLOPS a core); AMD's begin a dot product wherever a multiplication may.
  __builtin_cpu_init();
  features.slow_bf16 = __builtin_cpu_is("intel");
  constexpr int kFma = 12, kOsxsave = 27, kAvx = 28, kF16c = 29;                     // leaf 1, ecx
  constexpr int kAvx2 = 5, kF = 16, kDq = 17, kBw = 30, kVl = 31;                    // leaf 7, ebx
  constexpr int kVnni = 11;                                                          // leaf 7, ecx
  constexpr int kBf16 = 5;                                                           // leaf 7.1, eax
  constexpr int kAmxBf16 = 22, kAmxTile = 24;                                        // leaf 7, edx
  constexpr std::uint64_t kYmmState = 0x06, kZmmState = 0xE6, kTileState = 0x60000;  // XCR0
  if (!Registers::bit(basic.c, kOsxsave) || !Registers::bit(basic.c, kAvx)) return features;
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  const std::uint64_t state = static_cast<std::uint64_t>(high) << 32 | low;
  features.avx2 = (state & kYmmState) == kYmmState && Registers::bit(extended.b, kAvx2) &&
                  Registers::bit(basic.c, kFma) && Registers::bit(basic.c, kF16c);
  features.avx512 = features.avx2 && (state & kZmmState) == kZmmState && Registers::bit(extended.b, kF) &&
                    Registers::bit(extended.b, kDq) && Registers::bit(extended.b, kBw) &&
                    Registers::bit(extended.b, kVl);
  features.avx512_vnni = features.avx512 && Registers::bit(extended.c, kVnni);
  features.avx512_bf16 = features.avx512_vnni && Registers::bit(extended1.a, kBf16);
  features.amx = features.avx512_bf16 && (state & kTileState) == kTileState && Registers::bit(extended.d, kAmxTile) &&
                 Registers::bit(extended.d, kAmxBf16) && amx_runs();
  return features;
}

// These two bring what they do better than the set below them; all else is that set's.
const CpuKernels* avx512_vnni_table() noexcept {
  static const CpuKernels table = [] {
    CpuKernels kernels = avx512::kTable;
    kernels.name = avx512_vnni::kTable.name;
    kernels.packed_linear = avx512_vnni::kTable.packed_linear;
    kernels.matmul = avx512_vnni::kTable.matmul;
    kernels.matmul_form = avx512_vnni::kTable.matmul_form;
    return kernels;
  }();
  return &table;
}

const CpuKernels* amx_table() noexcept {
  static const CpuKernels table = [] {
    CpuKernels kernels = avx512_bf16::kTable;
    kernels.name = amx::kTable.name;
    kernels.gemm = amx::kTable.gemm;
    kernels.matmul = nullptr;  // a library's products by tiles are the faster ones
    return kernels;
  }();
  return &table;
}
#endif

constexpr const char* kNames[] = {
    "scalar",
#ifdef POWERHOUSE_CPU_X86
    "avx2",   "avx512", "avx512_vnni", "avx512_bf16", "amx",
#endif
    nullptr,
};

#ifdef POWERHOUSE_CPU_X86
const Features& features_here() noexcept {
  static const Features features = probe();
  return features;
}
#endif

const CpuKernels* find(std::string_view name) noexcept {
  if (name == "scalar") return &scalar::kTable;
#ifdef POWERHOUSE_CPU_X86
  const Features& features = features_here();
  if (name == "avx2" && features.avx2) return &avx2::kTable;
  if (name == "avx512" && features.avx512) return &avx512::kTable;
  if (name == "avx512_vnni" && features.avx512_vnni) return avx512_vnni_table();
  if (name == "avx512_bf16" && features.avx512_bf16) return &avx512_bf16::kTable;
  if (name == "amx" && features.amx) return amx_table();
#endif
  return nullptr;
}

const CpuKernels* select() noexcept {
  if (const char* name = std::getenv("POWERHOUSE_ISA"); name != nullptr && *name != '\0') return find(name);
  const CpuKernels* best = nullptr;
  for (const char* name : kNames) {
    if (name == nullptr) break;
#ifdef POWERHOUSE_CPU_X86
    if (name == std::string_view("avx512_bf16") && features_here().slow_bf16) continue;
#endif
    if (const CpuKernels* table = find(name)) best = table;
  }
  return best;
}

}  // namespace

const char* const* kernel_names() noexcept { return kNames; }

const CpuKernels* find_kernels(const char* name) noexcept { return name == nullptr ? nullptr : find(name); }

const CpuKernels* selected_kernels() noexcept {
  static const CpuKernels* const selected = select();
  return selected;
}

const CpuKernels& kernels() noexcept {
  const CpuKernels* selected = selected_kernels();
  return selected != nullptr ? *selected : scalar::kTable;
}

}  // namespace powerhouse::cpu
