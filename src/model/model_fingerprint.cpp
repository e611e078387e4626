#include "model/model_fingerprint.h"

#include "support/sha256.h"

namespace powerhouse {
namespace {

// Where training changed a weight, it changed it nearly everywhere: a few places tell, and cost less than reading all.
constexpr std::size_t kSamples = 8;
constexpr std::size_t kSampleBytes = 64;

void add_sample(std::string& text, const void* data, std::size_t bytes) {
  const auto* const from = static_cast<const char*>(data);
  text += std::to_string(bytes) + ':';
  if (bytes <= kSamples * kSampleBytes) {
    text.append(from, bytes);
    return;
  }
  const std::size_t last = bytes - kSampleBytes;
  for (std::size_t i = 0; i < kSamples; ++i) text.append(from + last / (kSamples - 1) * i, kSampleBytes);
}

}  // namespace

std::string model_fingerprint(const Model& model) {
  std::string text = to_json(model.config);
  for (const ParameterSpec& spec : model.weights.specs()) {
    const Weight& weight = model.weights.weight(spec);
    text += '\n' + spec.name + ' ' + block_info(weight.format()).name;
    for (const std::int64_t size : spec.shape) text += ' ' + std::to_string(size);
    text += ' ';
    if (const StoredWeight* stored = weight.stored()) {
      for (const TensorView& view : stored->views) add_sample(text, view.data, view.bytes);
    } else {
      const at::Tensor rows = weight.matrix().detach().to(at::kCPU).contiguous();
      add_sample(text, rows.const_data_ptr(), rows.nbytes());
    }
  }
  return sha256(text);
}

}  // namespace powerhouse
