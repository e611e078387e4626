// Faults planted in kernels: all of a program's are compiled in, and one of them is chosen when it runs.
// powerhouse_plant() in CMakeLists.txt writes the choice into copies of the kernels' files.
#pragma once

#include <type_traits>

namespace powerhouse::cuda_on_host {

/// Which fault the kernels have from now on; 0, as at first: none.
void plant(int number);
/// In no file of kernels, so that asking is no access to memory that the shim would see.
[[gnu::const]] bool is_planted(int number);
/// What stands in the kernels. Constants are the right ones.
constexpr bool planted(int number) { return !std::is_constant_evaluated() && is_planted(number); }

}  // namespace powerhouse::cuda_on_host
