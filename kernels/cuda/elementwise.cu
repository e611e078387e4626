#include "kernels/cuda/row_kernels.h"

#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/device_launcher.cuh"
#include "kernels/cuda/dropout.cuh"
#include "kernels/cuda/rope.cuh"

namespace powerhouse::cuda {

void rope(const cpu::RopeParams& params, std::int64_t tokens, Stream stream) {
  launch_rope(DeviceLauncher{stream}, params, tokens);
}

void activation_mul(const cpu::ActivationParams& params, std::int64_t rows, Stream stream) {
  launch_activation(DeviceLauncher{stream}, params, rows);
}

void activation_gradient(const cpu::ActivationGradientParams& params, std::int64_t rows, Stream stream) {
  launch_activation_gradient(DeviceLauncher{stream}, params, rows);
}

void dropout(const cpu::DropoutParams& params, std::int64_t rows, Stream stream) {
  launch_dropout(DeviceLauncher{stream}, params, rows);
}

}  // namespace powerhouse::cuda
