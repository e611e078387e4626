// Whether threads of this process may use AMX's tiles, found out by using them.
#pragma once

namespace powerhouse::cpu {

/// For processors whose CPUID offers AMX. Asks the kernel for permission, then multiplies once in a new thread: on some
/// machines tiles are an illegal instruction in all threads but the first, whatever CPUID says.
bool amx_runs() noexcept;

}  // namespace powerhouse::cpu
