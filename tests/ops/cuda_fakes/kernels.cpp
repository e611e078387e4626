// In the place of libpowerhouse_cuda.so: a table of one old and one new GPU, of the version that the build says.
#include "kernels/cuda/kernel_table.h"

namespace {

using powerhouse::cuda::DeviceProperties;
using powerhouse::cuda::KernelTable;

int count(const char**) { return 2; }

const char* properties(int index, DeviceProperties& of) {
  of = {.name = "Pretended", .major = index == 0 ? 9 : 7, .minor = index == 0 ? 0 : 5};
  return nullptr;
}

constexpr KernelTable kTable{.version = powerhouse::cuda::kTableVersion + FAKE_NEWER,
                             .bytes = sizeof(KernelTable) + FAKE_LARGER,
                             .device_count = count,
                             .device_properties = properties};

}  // namespace

extern "C" __attribute__((visibility("default"))) const KernelTable* powerhouse_cuda_kernels() { return &kTable; }
