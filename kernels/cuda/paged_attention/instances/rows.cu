#include "kernels/cuda/device_launcher.cuh"
#include "kernels/cuda/paged_attention/rows.cuh"

namespace powerhouse::cuda {

bool paged_write(const PagedWriteParams& params, Stream stream) {
  return launch_paged_write(DeviceLauncher{stream}, params);
}

bool paged_gather(const PagedGatherParams& params, Stream stream) {
  return launch_paged_gather(DeviceLauncher{stream}, params);
}

bool page_copy(const PageCopyParams& params, Stream stream) { return launch_page_copy(DeviceLauncher{stream}, params); }

}  // namespace powerhouse::cuda
