#include "ops/exact.h"

#include <c10/core/GradMode.h>

#include "powerhouse/error.h"

namespace powerhouse::ops {

void check_exact(std::initializer_list<at::Tensor> tensors) {
  for (const at::Tensor& tensor : tensors) {
    if (!tensor.defined() || (tensor.is_cpu() && tensor.scalar_type() == at::kFloat)) continue;
    throw Error(ErrorKind::unsupported, "exact numerics are those of float32 on the CPU",
                {.field = "numerics", .expected = "float32", .found = c10::toString(tensor.scalar_type())});
  }
}

at::Tensor with_value(const at::Tensor& differentiable, const at::Tensor& value) {
  // A copy's backward pass is the identity and keeps nothing, so that its numbers are free to change.
  at::Tensor y = differentiable.clone();
  const c10::AutoGradMode no_grad(false);
  y.copy_(value.view(y.sizes()));
  return y;
}

}  // namespace powerhouse::ops
