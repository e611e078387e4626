// Rows of quantize()'s table for methods that go layer by layer over a text: their reports in its words.
#include <map>
#include <string_view>

#include "calibration/methods.h"
#include "calibration/quantized_folder.h"
#include "formats/checkpoint.h"
#include "powerhouse/awq.h"
#include "powerhouse/error.h"
#include "powerhouse/gptq.h"

namespace powerhouse {
namespace {

QuantizationSummary summary_of(const QuantizationReport& report, const std::string& type, const std::string& source,
                               const std::string& output) {
  const Checkpoint written = open_checkpoint(output);
  QuantizationSummary summary{.type = type, .source_bytes = tensor_bytes(source), .seconds = report.seconds};
  std::map<std::string_view, const TensorView*> views;
  for (const TensorView& view : written.tensors) {
    summary.weights += view.elements();
    summary.bytes += view.bytes;
    views.emplace(view.name, &view);
  }
  for (const LinearReport& linear : report.linears) {
    summary.tensors.push_back(
        {.name = linear.name, .to = type, .relative_error = linear.weight_error, .seconds = linear.seconds});
    QuantizedTensor& tensor = summary.tensors.back();
    tensor.output_error = linear.output_error;
    if (const auto found = views.find(linear.name + ".weight"); found != views.end()) {
      tensor.shape = found->second->shape;
      tensor.bytes = found->second->bytes;
    }
  }
  return summary;
}

// The callbacks that such a method has, for those of `options`.
QuantizationCallbacks callbacks_of(const QuantizationOptions& options) {
  QuantizationCallbacks callbacks{.stop = options.cancel};
  if (!options.on_progress) return callbacks;
  callbacks.on_layer = [&options](std::int64_t done, std::int64_t total, const auto&) {
    tell_layer(options, done, total);
  };
  return callbacks;
}

void prepare(const std::string& output, const QuantizationOptions& options) {
  if (options.calibration_text.empty()) {
    throw Error(ErrorKind::usage, "this method needs a text",
                {.field = "calibration_text", .expected = "some ten thousand tokens", .found = "none"});
  }
  refuse_dry_run(options);
  if (!options.imatrix.empty()) {
    throw Error(ErrorKind::usage, "this method reads no importance matrix", {.field = "imatrix"});
  }
  if (!options.resume) forget_unfinished(output);
}

}  // namespace

QuantizationSummary quantize_by_gptq(const std::string& source, const std::string& output,
                                     const QuantizationOptions& options) {
  prepare(output, options);
  return summary_of(
      quantize_gptq(source, output, options.calibration_text, options.gptq, options.calibration, callbacks_of(options)),
      "gptq", source, output);
}

QuantizationSummary quantize_by_awq(const std::string& source, const std::string& output,
                                    const QuantizationOptions& options) {
  prepare(output, options);
  return summary_of(
      quantize_awq(source, output, options.calibration_text, options.awq, options.calibration, callbacks_of(options)),
      "awq", source, output);
}

}  // namespace powerhouse
