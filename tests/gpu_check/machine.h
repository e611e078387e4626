// Where the check runs its kernels and what it holds them to: tensors of the device, definitions that LibTorch computes
// in float64 and float32 (on the device too, where it is a real one), launches as the library's ops make them.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cstdint>
#include <functional>
#include <random>
#include <vector>

#include "ops/device_kernels.h"

namespace powerhouse::gpu_check {

struct Machine {
  at::Device device;   ///< of the kernels' tensors
  at::Device judge;    ///< where LibTorch computes definitions
  bool small = false;  ///< shapes for kernels that a CPU runs
  int multiprocessors = 1;
};

inline constexpr at::ScalarType kTypes[] = {at::kFloat, at::kBFloat16, at::kHalf};
inline constexpr at::ScalarType kHalfTypes[] = {at::kBFloat16, at::kHalf};

/// Normal numbers on the CPU, the same for a seed.
at::Tensor noise(at::IntArrayRef sizes, at::ScalarType type, std::uint64_t seed, double deviation = 1.0);
/// Whole numbers from [0, below), int64.
at::Tensor whole_numbers(std::int64_t count, std::int64_t below, std::uint64_t seed);

inline at::Tensor there(const Machine& machine, const at::Tensor& x) { return x.to(machine.device); }
inline at::Tensor wide(const Machine& machine, const at::Tensor& x, at::ScalarType type) {
  return x.to(machine.judge).to(type);
}
at::Tensor empty_there(const Machine& machine, at::IntArrayRef sizes, at::ScalarType type);
/// Bytes as a tensor of the device, of a length that is a multiple of 32.
at::Tensor bytes_there(const Machine& machine, const void* data, std::size_t bytes);
template <typename T>
at::Tensor values_there(const Machine& machine, const std::vector<T>& values) {
  return bytes_there(machine, values.data(), values.size() * sizeof(T));
}

inline Element element(at::ScalarType type) {
  return type == at::kFloat ? Element::f32 : type == at::kBFloat16 ? Element::bf16 : Element::f16;
}

/// The largest difference as a part of the largest value of `expected`; infinite where one is NaN and the other not.
double error_of(const Machine& machine, const at::Tensor& found, const at::Tensor& expected);

/// What one rounding to the type may change, as a part of the number.
inline double rounding(at::ScalarType type) {
  return type == at::kFloat ? 0x1p-24 : type == at::kBFloat16 ? 0x1p-8 : 0x1p-11;
}

/// What a kernel that rounds `times` times may differ by, its sums in float32 counted in.
inline double allowed(at::ScalarType type, double times) { return times * rounding(type) + 1e-5; }

}  // namespace powerhouse::gpu_check
