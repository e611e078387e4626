#include "kernels/cuda/flash_forward_case.h"
#include "kernels/cuda/flash_forward_launch.h"

namespace powerhouse::testing {

namespace {

cuda_on_host::LaunchReport run_flash_forward(const cuda::FlashForwardParams& params, cuda_on_host::GlobalMemory& memory,
                                             const cuda_on_host::LaunchOptions& options) {
  const bool modified = params.softcap > 0 || params.alibi_slopes != nullptr || params.dropout.threshold != 0;
  const cuda::FlashForwardLaunch launch = cuda::flash_forward_launch(params.head_dim, params.type, modified);
  const auto tiles = static_cast<unsigned>((params.queries + launch.rows - 1) / launch.rows);
  return cuda_on_host::launch({tiles, static_cast<unsigned>(params.heads), static_cast<unsigned>(params.batch)},
                              {static_cast<unsigned>(launch.threads)}, launch.shared_bytes, memory, options,
                              [&] { launch.kernel(params); });
}

}  // namespace

cuda_on_host::LaunchReport FlashProblem::run(const cuda_on_host::LaunchOptions& options) {
  return run(options, run_flash_forward);
}

}  // namespace powerhouse::testing
