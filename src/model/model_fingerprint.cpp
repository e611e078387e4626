#include "model/model_fingerprint.h"

#include "support/sha256.h"

namespace powerhouse {
namespace {

// Where training changed a weight, it changed it nearly everywhere: a few places tell, and cost less than reading all.
constexpr std::size_t kSamples = 8;
constexpr std::size_t kSampleBytes = 64;

// append(begin, count) adds some of the bytes.
template <typename Append>
void add_sample(std::string& text, std::size_t bytes, const Append& append) {
  text += std::to_string(bytes) + ':';
  if (bytes <= kSamples * kSampleBytes) return append(0, bytes);
  const std::size_t last = bytes - kSampleBytes;
  for (std::size_t i = 0; i < kSamples; ++i) append(last / (kSamples - 1) * i, kSampleBytes);
}

void add_sample(std::string& text, const void* data, std::size_t bytes) {
  const auto* const from = static_cast<const char*>(data);
  add_sample(text, bytes, [&](std::size_t begin, std::size_t count) { text.append(from + begin, count); });
}

// Of a device nothing else is copied.
void add_sample(std::string& text, const at::Tensor& tensor) {
  const at::Tensor row = tensor.detach().contiguous().view({-1});
  if (row.is_cpu()) return add_sample(text, row.const_data_ptr(), row.nbytes());
  const std::size_t size = row.element_size();
  add_sample(text, row.nbytes(), [&](std::size_t begin, std::size_t count) {
    const std::size_t first = begin / size, end = (begin + count + size - 1) / size;
    const at::Tensor here =
        row.narrow(0, static_cast<std::int64_t>(first), static_cast<std::int64_t>(end - first)).to(at::kCPU);
    text.append(static_cast<const char*>(here.const_data_ptr()) + (begin - first * size), count);
  });
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
      for (const TensorView& view : stored->views) {
        if (!view.rows) add_sample(text, view.data, view.bytes);
        for (std::size_t i = 0; view.rows && i < view.rows->parts().size(); ++i) {
          add_sample(text, view.rows->parts()[i].data, view.rows->parts()[i].bytes);
        }
      }
    } else {
      add_sample(text, weight.matrix());
    }
  }
  return sha256(text);
}

}  // namespace powerhouse
