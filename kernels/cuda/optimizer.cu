#include "kernels/cuda/optimizer.cuh"

#include "kernels/cuda/device_launcher.cuh"
#include "kernels/cuda/row_kernels.h"

namespace powerhouse::cuda {

void optimizer_update(const UpdateTable& table, Stream stream) {
  launch_optimizer_update(DeviceLauncher{stream}, table);
}

void sum_squares(const SumSquaresParams& params, Stream stream) { launch_sum_squares(DeviceLauncher{stream}, params); }

}  // namespace powerhouse::cuda
