#include "model/numeric_check.h"

#include <ATen/ops/isfinite_ops.h>

#include "kernels/cpu/kernels.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

struct Found {
  HookPoint point;
  std::int64_t layer;
};

bool finite(const at::Tensor& tensor) { return at::_ops::isfinite::call(tensor).all().item<bool>(); }

}  // namespace

bool all_finite(const at::Tensor& logits) {
  if (!is_kernel_tensor(logits) || !logits.is_contiguous()) return finite(logits);
  return cpu::kernels().first_not_finite(logits.const_data_ptr(), to_element(logits.scalar_type()), 0, logits.numel()) <
         0;
}

void report_not_finite(const Model& model, const PackedBatch& batch, KvCache* cache, const HookTable& hooks) {
  HookTable watched = hooks;
  for (int i = 0; i < kHookPointCount; ++i) {
    const auto point = static_cast<HookPoint>(i);
    watched.add({point, -1}, [](const at::Tensor& activation, const HookContext& context) -> at::Tensor {
      if (!finite(activation)) throw Found{context.point, context.layer};
      return {};
    });
  }
  std::string where = "logits";
  try {
    model.decoder.forward(batch, cache, watched, model.arithmetic());
  } catch (const Found& found) {
    where = to_string(found.point);
    if (found.layer >= 0) where = "layer " + std::to_string(found.layer) + " " + where;
  }
  throw Error(ErrorKind::numeric, "the logits are not finite; NaN or infinity begins here",
              {.file = model.origin, .field = where});
}

}  // namespace powerhouse
