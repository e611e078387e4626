// The kernels that faults are planted in: the steps of optimizers.
#include "kernels/cuda/adamw8.cuh"
#include "kernels/cuda/optimizer.cuh"
#include "kernels/cuda_rows/kernels_on_host.h"

namespace powerhouse::testing {

void adamw8_on_host(const cpu::UpdateParams& params, std::int64_t elements, const HostLauncher& launcher) {
  cuda::launch_adamw8(launcher, params, elements);
}
void optimizer_update_on_host(const cuda::UpdateTable& table, const HostLauncher& launcher) {
  cuda::launch_optimizer_update(launcher, table);
}
void sum_squares_on_host(const cuda::SumSquaresParams& params, const HostLauncher& launcher) {
  cuda::launch_sum_squares(launcher, params);
}

}  // namespace powerhouse::testing
