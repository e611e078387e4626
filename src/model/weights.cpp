#include "model/weights.h"

namespace powerhouse {

DecoderWeights::DecoderWeights(std::vector<ParameterSpec> specs, std::size_t layers, bool tied_head)
    : specs_(std::move(specs)), layers_(layers), tied_head_(tied_head) {}

Weight& DecoderWeights::weight(const ParameterSpec& spec) {
  LayerWeights& holder = spec.layer < 0 ? outside_ : layers_[static_cast<std::size_t>(spec.layer)];
  return holder.slot(spec.role, spec.is_bias);
}

Weight* DecoderWeights::find(std::string_view hf_name) {
  for (const ParameterSpec& spec : specs_) {
    if (spec.hf_name == hf_name) return &weight(spec);
  }
  return nullptr;
}

}  // namespace powerhouse
