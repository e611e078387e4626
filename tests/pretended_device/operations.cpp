// LibTorch's operations on the pretended device: each is the CPU's, on the same memory, while the host may touch it.
// What is no copy refuses to mix devices, but for numbers (tensors without dimensions), as on CUDA.
#include <ATen/EmptyTensor.h>
#include <ATen/core/IListRef.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/_local_scalar_dense_ops.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/view_native.h>
#include <torch/library.h>

#include <functional>
#include <utility>
#include <vector>

#include "pretended_device/device.h"
#include "pretended_device/graph.h"
#include "pretended_device/memory.h"

namespace powerhouse::pretended_device {
namespace {

struct Allocator final : c10::Allocator {
  c10::DataPtr allocate(std::size_t bytes) override {
    void* const place = Memory::get().take(bytes);
    return {place, place, &drop, device()};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &drop; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    {
      const HostAccess access;
      default_copy_data(to, from, bytes);
    }
    note([this, to, from, bytes] { copy_data(to, from, bytes); });
  }
  static void drop(void* place) { Memory::get().give(place); }
};

Allocator allocator;
constexpr c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

at::Tensor empty(c10::SymIntArrayRef sizes, std::optional<at::ScalarType> type, std::optional<at::Layout>,
                 std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(C10_AS_INTARRAYREF_SLOW(sizes), &allocator, kKeys, type.value_or(at::kFloat),
                                   format);
}

at::Tensor empty_strided(c10::SymIntArrayRef sizes, c10::SymIntArrayRef strides, std::optional<at::ScalarType> type,
                         std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(C10_AS_INTARRAYREF_SLOW(sizes), C10_AS_INTARRAYREF_SLOW(strides), &allocator,
                                           kKeys, type.value_or(at::kFloat));
}

at::Tensor as_strided(const at::Tensor& x, c10::SymIntArrayRef sizes, c10::SymIntArrayRef strides,
                      std::optional<c10::SymInt> offset) {
  return at::native::as_strided_tensorimpl(x, C10_AS_INTARRAYREF_SLOW(sizes), C10_AS_INTARRAYREF_SLOW(strides),
                                           offset ? std::optional<std::int64_t>(offset->expect_int()) : std::nullopt);
}

at::Tensor view(const at::Tensor& x, c10::SymIntArrayRef sizes) {
  return at::native::view(x, C10_AS_INTARRAYREF_SLOW(sizes));
}

at::Tensor reshape_alias(const at::Tensor& x, c10::SymIntArrayRef sizes, c10::SymIntArrayRef strides) {
  return at::native::_reshape_alias(x, C10_AS_INTARRAYREF_SLOW(sizes), C10_AS_INTARRAYREF_SLOW(strides));
}

/// The same memory as a tensor of the CPU.
at::Tensor on_host(const at::Tensor& x) {
  if (x.is_cpu()) return x;
  return at::from_blob(const_cast<void*>(x.const_data_ptr()), x.sizes(), x.strides(),
                       at::TensorOptions(x.scalar_type()));
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool) {
  if (from.is_cpu() || to.is_cpu()) refuse_while_capturing("a copy between host and device");
  const at::Tensor here = on_host(to), source = on_host(from);
  const auto copy = [here, source] {
    const HostAccess access;
    here.copy_(source);
  };
  copy();
  note(copy);
  return to;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) { return copy_from(from, to, false); }

at::Scalar local_scalar(const at::Tensor& x) {
  refuse_while_capturing("a number is read");
  const HostAccess access;
  return at::_ops::_local_scalar_dense::call(on_host(x));
}

/// CUDA's alone: products of bf16 and f16 that are summed and stored in float32.
at::Tensor& addmm_wide(const at::Tensor& self, const at::Tensor& a, const at::Tensor& b, at::ScalarType type,
                       const at::Scalar& beta, const at::Scalar& alpha, at::Tensor& out) {
  TORCH_CHECK(type == at::kFloat && out.scalar_type() == type && self.is_same(out) &&
              a.scalar_type() == b.scalar_type());
  const auto multiply = [to = on_host(out), a = on_host(a), b = on_host(b), beta, alpha] {
    const HostAccess access;
    at::Tensor(to).addmm_(a.to(at::kFloat), b.to(at::kFloat), beta, alpha);
  };
  multiply();
  note(multiply);
  return out;
}

// The arguments of one operation, as the CPU takes them.
class Arguments {
 public:
  explicit Arguments(const c10::OperatorHandle& op) : op_(op) {}

  /// What an operation is given to write its result to may have to grow: the CPU gets a tensor of its own.
  void give_room(c10::IValue& value) {
    const at::Tensor& out = value.toTensor();
    if (out.numel() > 0) return move_to_host(value);
    originals_.push_back(out);
    aliases_.push_back(at::detail::empty_cpu({0}, out.scalar_type()));
    value = aliases_.back();
  }

  void move_to_host(c10::IValue& value) {
    if (value.isTensor()) {
      if (value.toTensor().defined()) value = taken(value.toTensor());
    } else if (value.isTensorList()) {
      c10::List<at::Tensor> list = value.toTensorList().copy();
      for (std::size_t i = 0; i < list.size(); ++i) list.set(i, taken(list.get(i)));
      value = list;
    } else if (value.isOptionalTensorList()) {
      auto list = value.toOptionalTensorList().copy();
      for (std::size_t i = 0; i < list.size(); ++i) {
        if (const std::optional<at::Tensor> tensor = list.get(i)) list.set(i, taken(*tensor));
      }
      value = list;
    } else if (value.isDevice()) {
      value = c10::Device(c10::DeviceType::CPU);
    }
  }

  /// The same operation on the same addresses, with nothing that keeps what lies there. `inputs` as the CPU takes them.
  std::function<void()> again(std::vector<c10::IValue> inputs) const {
    return [op = op_, inputs = std::move(inputs), results = results_] {
      const HostAccess access;
      torch::jit::Stack stack(inputs);
      op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), &stack);
      std::size_t next = 0;
      const auto take = [&](const at::Tensor& found) {
        const at::Tensor& place = results[next++];
        if (place.defined()) place.copy_(found);
      };
      for (const c10::IValue& value : stack) {
        if (value.isTensor() && value.toTensor().defined()) take(value.toTensor());
        if (!value.isTensorList()) continue;
        for (const at::Tensor& one : value.toTensorVector()) take(one);
      }
    };
  }

  void move_to_device(c10::IValue& value) {
    if (value.isTensor() && value.toTensor().defined()) {
      value = returned(value.toTensor());
    } else if (value.isTensorList()) {
      c10::List<at::Tensor> list = value.toTensorList().copy();
      for (std::size_t i = 0; i < list.size(); ++i) list.set(i, returned(list.get(i)));
      value = list;
    }
  }

 private:
  at::Tensor taken(const at::Tensor& x) {
    TORCH_CHECK(x.device() == device() || (x.is_cpu() && x.dim() == 0), op_.schema().name(),
                " was given tensors of different devices: ", x.device(), " beside ", device());
    if (x.is_cpu()) return x;
    originals_.push_back(x);
    aliases_.push_back(on_host(x));
    return aliases_.back();
  }

  at::Tensor returned(const at::Tensor& y) {
    at::Tensor& result = results_.emplace_back();  // where it has to be copied to
    for (std::size_t i = 0; i < aliases_.size(); ++i) {
      if (!y.is_same(aliases_[i])) continue;
      if (y.numel() > 0 && !Memory::get().holds(y.const_data_ptr())) {
        grow(originals_[i], y);
        result = on_host(originals_[i]);
      }
      return originals_[i];
    }
    if (y.numel() > 0 && Memory::get().holds(y.const_data_ptr())) return view_of(y);
    at::Tensor copy = at::detail::empty_strided_generic(y.sizes(), y.strides(), &allocator, kKeys, y.scalar_type());
    result = on_host(copy);
    result.copy_(y);
    return copy;
  }

  static void grow(const at::Tensor& x, const at::Tensor& y) {
    const at::Tensor copy =
        at::detail::empty_strided_generic(y.sizes(), y.strides(), &allocator, kKeys, y.scalar_type());
    on_host(copy).copy_(y);
    x.unsafeGetTensorImpl()->set_storage_keep_dtype(copy.storage());
    x.unsafeGetTensorImpl()->set_sizes_and_strides(copy.sizes(), copy.strides());
  }

  at::Tensor view_of(const at::Tensor& y) const {
    const auto* const at = static_cast<const std::byte*>(y.const_data_ptr());
    for (const at::Tensor& x : originals_) {
      const auto* const begin = static_cast<const std::byte*>(x.storage().data());
      if (at < begin || at >= begin + x.storage().nbytes() || x.scalar_type() != y.scalar_type()) continue;
      return at::native::as_strided_tensorimpl(x, y.sizes(), y.strides(),
                                               (at - begin) / static_cast<std::int64_t>(y.element_size()));
    }
    TORCH_CHECK(false, op_.schema().name(), " returned a view that is none of an argument");
  }

  const c10::OperatorHandle& op_;
  std::vector<at::Tensor> originals_{}, aliases_{}, results_{};
};

void by_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const HostAccess access;
  Arguments arguments(op);
  auto value = stack->end() - static_cast<std::ptrdiff_t>(op.schema().arguments().size());
  for (const c10::Argument& argument : op.schema().arguments()) {
    argument.is_out() ? arguments.give_room(*value) : arguments.move_to_host(*value);
    ++value;
  }
  std::vector<c10::IValue> inputs;
  if (capturing())
    inputs.assign(stack->end() - static_cast<std::ptrdiff_t>(op.schema().arguments().size()), stack->end());
  try {
    op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  } catch (c10::Error& error) {
    error.add_context(op.schema().name() + " on the pretended device");
    throw;
  }
  for (value = stack->end() - static_cast<std::ptrdiff_t>(op.schema().returns().size()); value != stack->end();
       ++value) {
    arguments.move_to_device(*value);
  }
  if (capturing()) note(arguments.again(std::move(inputs)));
}

}  // namespace

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) { library.fallback(torch::CppFunction::makeFromBoxedFunction<&by_cpu>()); }

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", empty);
  library.impl("empty_strided", empty_strided);
  library.impl("as_strided", as_strided);
  library.impl("view", view);
  library.impl("_reshape_alias", reshape_alias);
  library.impl("_copy_from", copy_from);
  library.impl("_copy_from_and_resize", copy_from_and_resize);
  library.impl("_local_scalar_dense", local_scalar);
  library.impl("addmm.dtype_out", addmm_wide);
}

}  // namespace powerhouse::pretended_device
