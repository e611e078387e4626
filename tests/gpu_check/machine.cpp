#include "gpu_check/machine.h"

#include <ATen/CPUGeneratorImpl.h>

#include <cstring>
#include <limits>

namespace powerhouse::gpu_check {

namespace {

at::Generator generator(std::uint64_t seed) { return at::make_generator<at::CPUGeneratorImpl>(seed); }

}  // namespace

at::Tensor noise(at::IntArrayRef sizes, at::ScalarType type, std::uint64_t seed, double deviation) {
  return at::randn(sizes, generator(seed), at::TensorOptions().dtype(at::kFloat)).mul_(deviation).to(type);
}

at::Tensor whole_numbers(std::int64_t count, std::int64_t below, std::uint64_t seed) {
  return at::randint(below, {count}, generator(seed), at::TensorOptions().dtype(at::kLong));
}

at::Tensor empty_there(const Machine& machine, at::IntArrayRef sizes, at::ScalarType type) {
  return at::empty(sizes, at::TensorOptions().dtype(type).device(machine.device));
}

at::Tensor bytes_there(const Machine& machine, const void* data, std::size_t bytes) {
  at::Tensor host =
      at::zeros({static_cast<std::int64_t>((bytes + 31) / 32 * 32)}, at::TensorOptions().dtype(at::kByte));
  if (bytes > 0) std::memcpy(host.data_ptr(), data, bytes);
  return host.to(machine.device);
}

double error_of(const Machine& machine, const at::Tensor& found, const at::Tensor& expected) {
  const at::Tensor a = wide(machine, found, at::kDouble).flatten(), b = wide(machine, expected, at::kDouble).flatten();
  if (a.numel() != b.numel()) return std::numeric_limits<double>::infinity();
  if (b.numel() == 0) return 0;
  // What is not finite has to be the same on both sides.
  const at::Tensor finite = b.isfinite();
  const at::Tensor same = a.eq(b).logical_or(a.isnan().logical_and(b.isnan()));
  if (!finite.logical_or(same).all().item<bool>()) return std::numeric_limits<double>::infinity();
  const at::Tensor zero = at::zeros_like(b);
  const double difference = at::where(finite, a.sub(b).abs(), zero).max().item<double>();
  if (difference != difference) return std::numeric_limits<double>::infinity();
  const double largest = at::where(finite, b.abs(), zero).max().item<double>();
  return difference == 0 ? 0 : difference / (largest > 0 ? largest : 1);
}

}  // namespace powerhouse::gpu_check
