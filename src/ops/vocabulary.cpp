#include "ops/vocabulary.h"

#include "kernels/cpu/kernels.h"

namespace powerhouse::ops {

std::int64_t argmax(std::span<const float> row) { return cpu::kernels().argmax_f32(row.data(), std::ssize(row)).index; }

float log_sum_exp(std::span<const float> row) { return cpu::kernels().log_sum_exp_f32(row.data(), std::ssize(row)); }

void softmax(std::span<const float> row, std::span<float> probabilities) {
  cpu::kernels().softmax_f32(row.data(), probabilities.data(), std::ssize(row));
}

}  // namespace powerhouse::ops
