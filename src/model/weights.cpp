#include "model/weights.h"

#include <algorithm>

namespace powerhouse {

DecoderWeights::DecoderWeights(std::vector<ParameterSpec> specs, const ModelConfig& config)
    : specs_(std::move(specs)),
      layers_(config.layers.size()),
      tied_head_(config.tie_word_embeddings && !config.sequence_head) {}

Weight& DecoderWeights::weight(const ParameterSpec& spec) {
  LayerWeights& holder = spec.layer < 0 ? outside_ : layers_[static_cast<std::size_t>(spec.layer)];
  return holder.slot(spec.role, spec.is_bias);
}

void DecoderWeights::move_to(const at::Device& device) {
  for (const ParameterSpec& spec : specs_) weight(spec).move_to(device);
}

Weight* DecoderWeights::find(std::string_view hf_name) {
  for (const ParameterSpec& spec : specs_) {
    const bool alias = std::find(spec.aliases.begin(), spec.aliases.end(), hf_name) != spec.aliases.end();
    if (spec.name == hf_name || alias) return &weight(spec);
  }
  return nullptr;
}

at::Tensor DecoderWeights::find_part(std::string_view hf_name) {
  for (const ParameterSpec& spec : specs_) {
    for (const Assembly& assembly : spec.hf) {
      const auto found = std::find(assembly.names.begin(), assembly.names.end(), hf_name);
      if (found == assembly.names.end() || !assembly.place) continue;
      const std::int64_t part = found - assembly.names.begin();
      // Its rows lie together.
      const auto view = [&](const at::Tensor& whole) {
        const at::Tensor rows = whole.detach().flatten(0, -2);
        std::int64_t first = 0;
        while (assembly.place(first).tensor != part) ++first;
        std::int64_t count = 1;
        for (std::size_t i = 0; i + 1 < assembly.shape.size(); ++i) count *= assembly.shape[i];
        return rows.narrow(0, first, count).view(assembly.shape);
      };
      const at::Tensor& whole = weight(spec).materialize();
      at::Tensor out = view(whole);
      if (whole.grad().defined()) out.mutable_grad() = view(whole.grad());
      return out;
    }
  }
  return {};
}

}  // namespace powerhouse
