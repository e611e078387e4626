#include <algorithm>
#include <cctype>
#include <filesystem>

#include "calibration/measured_divergence.h"
#include "calibration/methods.h"
#include "formats/checkpoint.h"
#include "model/api_guard.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

// One row a method; whatever is in none is a type of GGUF.
constexpr QuantizationMethod kMethods[] = {{"gptq", &quantize_by_gptq},        {"awq", &quantize_by_awq},
                                           {"hqq", &quantize_by_hqq},          {"nf4", &quantize_by_bitsandbytes},
                                           {"fp4", &quantize_by_bitsandbytes}, {"int8", &quantize_by_bitsandbytes}};

// Codes over what they were made from would be all that is left of it.
void check_output(const std::string& source, const std::string& output) {
  std::error_code ignored;
  if (!std::filesystem::equivalent(source, output, ignored)) return;
  throw Error(ErrorKind::usage, "the output is the model itself", {.file = output});
}

QuantizationSummary run(const std::string& source, const std::string& output, const QuantizationOptions& options) {
  const std::string type = lower_case(options.type);
  for (const QuantizationMethod& method : kMethods) {
    if (type == method.name) return method.quantize(source, output, options);
  }
  return quantize_to_gguf(source, output, options);
}

}  // namespace

std::string lower_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

std::string names_of_methods() {
  std::string names;
  for (const QuantizationMethod& method : kMethods) names += (names.empty() ? "" : ", ") + std::string(method.name);
  return names;
}

void refuse_dry_run(const QuantizationOptions& options) {
  if (!options.dry_run) return;
  throw Error(ErrorKind::unsupported, "there is no dry run of this method", {.field = "dry_run"});
}

void check_weights_only(const QuantizationOptions& options) {
  refuse_dry_run(options);
  if (!options.imatrix.empty() || !options.calibration_text.empty()) {
    throw Error(ErrorKind::usage, "this method looks at no text and no importance",
                {.field = options.imatrix.empty() ? "calibration_text" : "imatrix"});
  }
}

void tell_layer(const QuantizationOptions& options, std::int64_t done, std::int64_t total) {
  if (!options.on_progress) return;
  options.on_progress({.tensor = done,
                       .tensors = total,
                       .name = "layer " + std::to_string(done),
                       .share = static_cast<double>(done) / static_cast<double>(total)});
}

std::uint64_t tensor_bytes(const std::string& checkpoint) {
  std::uint64_t bytes = 0;
  for (const TensorView& view : open_checkpoint(checkpoint).tensors) bytes += view.bytes;
  return bytes;
}

QuantizationSummary quantize(const std::string& source, const std::string& output, const QuantizationOptions& options) {
  check_output(source, output);
  if (!options.divergence_text.empty()) {
    guarded([&] { check_divergence_text(source, options.divergence_text, options.calibration_text); });
  }
  QuantizationSummary summary = run(source, output, options);
  if (!options.divergence_text.empty() && !options.dry_run) {
    summary.divergence = guarded([&] {
      return measured_divergence(source, output, options.divergence_text, options.calibration.memory, options.cancel);
    });
  }
  return summary;
}

}  // namespace powerhouse
