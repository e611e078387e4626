#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/adamw8.cuh"
#include "kernels/cuda/cross_entropy.cuh"
#include "kernels/cuda/dropout.cuh"
#include "kernels/cuda/norm_gradient.cuh"
#include "kernels/cuda/optimizer.cuh"
#include "kernels/cuda/rope.cuh"
#include "kernels/cuda/sampling.cuh"
#include "kernels/cuda_rows/kernels_on_host.h"

namespace powerhouse::testing {

bool rms_norm_on_host(const cpu::RmsNormParams& params, std::int64_t items, const HostLauncher& launcher) {
  return cuda::launch_rms_norm(launcher, params, items);
}
bool layer_norm_on_host(const cpu::LayerNormParams& params, std::int64_t items, const HostLauncher& launcher) {
  return cuda::launch_layer_norm(launcher, params, items);
}
bool norm_gradient_on_host(const cpu::NormGradientParams& params, std::int64_t part_rows,
                           const HostLauncher& launcher) {
  return cuda::launch_norm_gradient(launcher, params, part_rows);
}
void rope_on_host(const cpu::RopeParams& params, std::int64_t tokens, const HostLauncher& launcher) {
  cuda::launch_rope(launcher, params, tokens);
}
void activation_on_host(const cpu::ActivationParams& params, std::int64_t rows, const HostLauncher& launcher) {
  cuda::launch_activation(launcher, params, rows);
}
void activation_gradient_on_host(const cpu::ActivationGradientParams& params, std::int64_t rows,
                                 const HostLauncher& launcher) {
  cuda::launch_activation_gradient(launcher, params, rows);
}
void dropout_on_host(const cpu::DropoutParams& params, std::int64_t rows, const HostLauncher& launcher) {
  cuda::launch_dropout(launcher, params, rows);
}
void cross_entropy_on_host(const cpu::CrossEntropyParams& params, std::int64_t rows, const HostLauncher& launcher) {
  cuda::launch_cross_entropy(launcher, params, rows);
}
void sampling_on_host(const cuda::SamplingParams& params, std::int64_t rows, const HostLauncher& launcher) {
  cuda::launch_sampling(launcher, params, rows);
}
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
