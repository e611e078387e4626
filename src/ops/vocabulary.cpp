#include "ops/vocabulary.h"

namespace powerhouse::ops {

std::int64_t argmax(std::span<const float> row) { return cpu::kernels().argmax_f32(row.data(), std::ssize(row)).index; }

float maximum(std::span<const float> row) { return cpu::kernels().max_f32(row.data(), std::ssize(row)); }

cpu::Moments moments(std::span<const float> row, float shift) {
  return cpu::kernels().moments_f32(row.data(), std::ssize(row), shift);
}

cpu::ExpMoments exp_moments(std::span<const float> row, float pivot) {
  return cpu::kernels().exp_moments_f32(row.data(), std::ssize(row), pivot);
}

float log_sum_exp(std::span<const float> row) { return cpu::kernels().log_sum_exp_f32(row.data(), std::ssize(row)); }

void softmax(std::span<const float> row, std::span<float> probabilities) {
  cpu::kernels().softmax_f32(row.data(), probabilities.data(), std::ssize(row));
}

}  // namespace powerhouse::ops
