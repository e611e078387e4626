#include "model/numeric_check.h"

#include <ATen/ops/isfinite_ops.h>

#include "kernels/cpu/kernels.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

bool finite(const at::Tensor& tensor) { return at::_ops::isfinite::call(tensor).all().item<bool>(); }

std::string name_of(const PlanPoint& at) {
  const std::string name(to_string(at.point));
  return at.layer >= 0 ? "layer " + std::to_string(at.layer) + " " + name : name;
}

// Where the decoder meets it first.
std::optional<PlanPoint> first_not_finite(const Model& model, const PackedBatch& batch, KvCache* cache,
                                          const HookTable& hooks, const Arithmetic& arithmetic) {
  HookTable watched = hooks;
  for (int i = 0; i < kHookPointCount; ++i) {
    const auto point = static_cast<HookPoint>(i);
    watched.add({point, -1}, [](const at::Tensor& activation, const HookContext& context) -> at::Tensor {
      if (!finite(activation)) throw PlanPoint{context.point, context.layer};
      return {};
    });
  }
  try {
    model.decoder.forward(batch, cache, watched, arithmetic);
  } catch (const PlanPoint& found) {
    return found;
  }
  return {};
}

}  // namespace

bool all_finite(const at::Tensor& logits) {
  if (!is_kernel_tensor(logits) || !logits.is_contiguous()) return finite(logits);
  return cpu::kernels().first_not_finite(logits.const_data_ptr(), to_element(logits.scalar_type()), 0, logits.numel()) <
         0;
}

void report_not_finite(const Model& model, const PackedBatch& batch, KvCache* cache, const HookTable& hooks,
                       const Arithmetic& arithmetic, bool planned, const PlanAdapters* terms) {
  const std::optional<PlanPoint> found = planned ? model.plan->first_not_finite(batch, *cache, terms)
                                                 : first_not_finite(model, batch, cache, hooks, arithmetic);
  throw Error(ErrorKind::numeric, "the logits are not finite; NaN or infinity begins here",
              {.file = model.origin, .field = name_of(found.value_or(PlanPoint{}))});
}

}  // namespace powerhouse
