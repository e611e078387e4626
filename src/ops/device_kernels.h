// Our CUDA kernels as ops launch them: the one place where an op meets the table of launchers (kernels/cuda).
//
// An op's node, its checks and what it saves are the same on every device; where it runs its kernel it asks whether the
// tensors are on the CPU, and launches here where they are not.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>

#include <atomic>
#include <type_traits>

#include "kernels/cuda/kernel_table.h"
#include "powerhouse/device.h"

namespace powerhouse::ops {

/// What LibTorch calls the device. Error{device} where it can't be used.
at::Device torch_device(const Device& device);

/// Whether our kernels can take the tensor: f32, bf16 or f16, on the CPU or on a device that has some.
bool has_kernels(const at::Tensor& x);

/// While one lives its device is the current one, and launches are queued behind what LibTorch queued on this thread.
class DeviceKernels {
 public:
  /// Error{device} where the device has no kernels of ours.
  explicit DeviceKernels(const at::Device& device);

  /// launch(&cuda::KernelTable::rms_norm, params, items). False: there is no kernel for these arguments.
  template <typename Result, typename... Of, typename... Given>
  [[nodiscard]] bool launch(Result (*cuda::KernelTable::*kernel)(Of...), const Given&... arguments) const {
    const auto launcher = table_.*kernel;
    if (launcher == nullptr) return false;
    if constexpr (std::is_void_v<Result>) {
      launcher(arguments..., stream_);
    } else {
      if (!launcher(arguments..., stream_)) return false;
    }
    check_launch();
    return true;
  }

  template <typename Member>
  bool has(Member cuda::KernelTable::*kernel) const {
    return table_.*kernel != nullptr;
  }
  std::int64_t multiprocessors() const { return known().multiprocessors; }
  /// The most of shared memory that a block can have.
  int shared_bytes() const { return known().shared_bytes; }
  /// Ten times the compute capability.
  int compute() const { return known().compute; }
  const cuda::KernelTable& table() const { return table_; }

  /// The same where an op has made sure that there is one; Error{unsupported} in the name of the op if not.
  template <typename Member, typename... Given>
  void must_launch(const char* op, Member kernel, const Given&... arguments) const {
    if (!launch(kernel, arguments...)) refuse(op);
  }

 private:
  struct Known {
    std::atomic<int> multiprocessors{0}, shared_bytes{0}, compute{0};
  };
  const Known& known() const;
  void check_launch() const;
  [[noreturn]] static void refuse(const char* op);

  at::Device device_;
  c10::DeviceGuard guard_;
  const cuda::KernelTable& table_;
  cuda::Stream stream_;
};

/// For tests: from here on CUDA is this type of LibTorch's devices, with these kernels.
void pretend_cuda(c10::DeviceType type, const cuda::KernelTable& kernels);

}  // namespace powerhouse::ops
