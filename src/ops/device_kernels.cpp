#include "ops/device_kernels.h"

#include <array>
#include <atomic>

#include "ops/cuda/library.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"

namespace powerhouse::ops {
namespace {

c10::DeviceType device_type = c10::DeviceType::CUDA;
const cuda::KernelTable* pretended = nullptr;

const cuda::KernelTable& kernels_of(const at::Device& device) {
  if (pretended == nullptr) return cuda_kernels(device.index());
  if (device.type() == device_type) return *pretended;
  throw Error(ErrorKind::device, "no kernels for this device", {.field = "device", .found = device.str()});
}

}  // namespace

at::Device torch_device(const Device& device) {
  if (device.kind == DeviceKind::cpu) return at::kCPU;
  const at::Device named(device_type, static_cast<c10::DeviceIndex>(device.index));
  kernels_of(named);
  return named;
}

bool has_kernels(const at::Tensor& x) {
  return is_kernel_type(x.scalar_type()) && (x.is_cpu() || x.device().type() == device_type);
}

DeviceKernels::DeviceKernels(const at::Device& device)
    : device_(device),
      guard_(device),
      table_(kernels_of(device)),
      stream_(pretended == nullptr ? cuda_stream(device.index()) : nullptr) {}

std::int64_t DeviceKernels::multiprocessors() const {
  // The driver takes about as long to answer as a kernel to run.
  static std::array<std::atomic<int>, 64> known{};
  const auto index = static_cast<std::size_t>(device_.index());
  if (index < known.size() && known[index] > 0) return known[index];
  cuda::DeviceProperties properties;
  if (const char* const why = table_.device_properties(device_.index(), properties)) {
    throw Error(ErrorKind::device, "the device does not answer", {.field = "device", .found = why});
  }
  if (index < known.size()) known[index] = properties.multiprocessors;
  return properties.multiprocessors;
}

void DeviceKernels::check_launch() const {
  if (const char* const why = table_.take_error()) {
    throw Error(ErrorKind::device, "a kernel could not be launched", {.field = "device", .found = why});
  }
}

void DeviceKernels::refuse(const char* op) {
  throw Error(ErrorKind::unsupported, "no CUDA kernel for such arguments", {.field = op});
}

void pretend_cuda(c10::DeviceType type, const cuda::KernelTable& kernels) {
  device_type = type;
  pretended = &kernels;
}

}  // namespace powerhouse::ops
