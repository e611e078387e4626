#include <algorithm>
#include <cctype>

#include "calibration/measured_divergence.h"
#include "calibration/methods.h"
#include "model/api_guard.h"

namespace powerhouse {
namespace {

// One row a method; whatever is in none is a type of GGUF.
constexpr QuantizationMethod kMethods[] = {{"gptq", &quantize_by_gptq}, {"awq", &quantize_by_awq}};

QuantizationSummary run(const std::string& source, const std::string& output, const QuantizationOptions& options) {
  std::string type = options.type;
  std::transform(type.begin(), type.end(), type.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const QuantizationMethod& method : kMethods) {
    if (type == method.name) return method.quantize(source, output, options);
  }
  return quantize_to_gguf(source, output, options);
}

}  // namespace

QuantizationSummary quantize(const std::string& source, const std::string& output, const QuantizationOptions& options) {
  QuantizationSummary summary = run(source, output, options);
  if (!options.divergence_text.empty() && !options.dry_run) {
    summary.divergence = guarded([&] {
      return measured_divergence(source, output, options.divergence_text, options.calibration.memory, options.cancel);
    });
  }
  return summary;
}

}  // namespace powerhouse
