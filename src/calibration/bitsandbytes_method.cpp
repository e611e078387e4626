// NF4, FP4 and int8 as bitsandbytes has them: a folder that transformers loads. No text is looked at. Each matrix
// becomes codes when it is read, so that codes, and one matrix in floats, are all of the linear layers that is in
// memory.
#include <chrono>
#include <cmath>

#include "calibration/layerwise.h"
#include "calibration/methods.h"
#include "calibration/quantized_folder.h"
#include "formats/bitsandbytes.h"
#include "model/api_guard.h"
#include "model/quantize_at_load.h"
#include "model/saver.h"
#include "ops/dequantize.h"
#include "ops/tensors.h"
#include "support/seconds_since.h"

namespace powerhouse {
namespace {

// What was lost of the source's weights, a matrix at a time.
void compare(const Model& source, const Model& model, QuantizationSummary& summary) {
  double squares = 0;
  double all = 0;
  for (const ParameterSpec& spec : model.weights.specs()) {
    const Weight& from = source.weights.weight(spec);
    const Weight& to = model.weights.weight(spec);
    const bool codes = is_bitsandbytes(to.format());
    const BlockInfo info = block_info(codes ? to.format() : to_block_format(model.type));
    std::int64_t elements = 1;
    for (const std::int64_t size : spec.shape) elements *= size;
    QuantizedTensor tensor{.name = spec.hf.front().names.front(),
                           .shape = spec.shape,
                           .from = block_info(from.format()).name,
                           .to = info.name,
                           .bytes = static_cast<std::uint64_t>(elements / info.block_elements * info.block_bytes)};
    if (codes) {
      const at::Tensor whole = dequantized(from, at::kFloat);
      const double lost = whole.sub(dequantized(to, at::kFloat)).norm().item<double>();
      const double norm = whole.norm().item<double>();
      tensor.relative_error = norm > 0 ? lost / norm : 0;
      squares += lost * lost;
      all += norm * norm;
    }
    from.release_file();
    summary.weights += elements;
    summary.bytes += tensor.bytes;
    summary.tensors.push_back(std::move(tensor));
  }
  summary.relative_error = all > 0 ? std::sqrt(squares / all) : 0;
}

QuantizationSummary quantize(const std::string& source, const std::string& given, const BitsAndBytesConfig& config,
                             const QuantizationOptions& options) {
  check_weights_only(options);
  const std::string output = free_output(given);
  const auto begin = std::chrono::steady_clock::now();
  const std::unique_ptr<Model> reference = open_layerwise(source);
  const std::unique_ptr<Model> model = open_layerwise(source);
  quantize_at_load(model->weights, config, model->type, true);
  QuantizationSummary summary{.type = options.type, .source_bytes = tensor_bytes(source)};
  compare(*reference, *model, summary);
  forget_unfinished(output);
  const std::string partial = output + ".partial";
  FolderLock lock;
  lock.take(partial);
  save_folder(*model, partial, {});
  give_name(partial, output);
  summary.seconds = seconds_since(begin);
  return summary;
}

}  // namespace

QuantizationSummary quantize_by_bitsandbytes(const std::string& source, const std::string& output,
                                             const QuantizationOptions& options) {
  BitsAndBytesConfig config{.bnb_4bit_use_double_quant = options.double_quantization};
  const bool int8 = lower_case(options.type) == "int8";
  (int8 ? config.load_in_8bit : config.load_in_4bit) = true;
  if (!int8) config.bnb_4bit_quant_type = lower_case(options.type);
  return guarded([&] { return quantize(source, output, config, options); });
}

}  // namespace powerhouse
