#include "ops/device_kernels.h"

#include <algorithm>
#include <array>

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

const DeviceKernels::Known& DeviceKernels::known() const {
  // The driver takes about as long to answer as a kernel to run.
  static std::array<Known, 64> all{};  // as many as LibTorch has
  Known& one = all.at(static_cast<std::size_t>(std::max<int>(0, device_.index())));
  if (one.multiprocessors > 0) return one;
  cuda::DeviceProperties properties;
  if (const char* const why = table_.device_properties(device_.index(), properties)) {
    throw Error(ErrorKind::device, "the device does not answer", {.field = "device", .found = why});
  }
  one.shared_bytes = properties.shared_bytes;
  one.compute = 10 * properties.major + properties.minor;
  one.multiprocessors = properties.multiprocessors;
  return one;
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
