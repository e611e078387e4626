#include "kernels/cuda/hopper_forward_instance.h"

namespace powerhouse::testing {
template cuda_on_host::LaunchReport run_hopper_forward<192, false>(const cuda::FlashForwardParams& params,
                                                                   cuda_on_host::GlobalMemory& memory,
                                                                   const cuda_on_host::LaunchOptions& options);
template cuda_on_host::LaunchReport run_hopper_forward<192, true>(const cuda::FlashForwardParams& params,
                                                                  cuda_on_host::GlobalMemory& memory,
                                                                  const cuda_on_host::LaunchOptions& options);
}  // namespace powerhouse::testing
