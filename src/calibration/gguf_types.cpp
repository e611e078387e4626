#include "calibration/gguf_types.h"

#include <algorithm>
#include <cctype>

#include "calibration/methods.h"
#include "kernels/reference/encode.h"
#include "powerhouse/error.h"

namespace powerhouse {

std::string upper_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::toupper(c); });
  return text;
}

BlockFormat format_named(const std::string& name, const char* field) {
  const std::string wanted = upper_case(name);
  for (int i = 0; i < kBlockFormatCount; ++i) {
    const auto format = static_cast<BlockFormat>(i);
    if (wanted == block_info(format).name && can_encode(format) && format != BlockFormat::q8_k) return format;
  }
  throw Error(ErrorKind::usage, "no type of GGUF's weights", {.field = field, .found = name});
}

MixOverrides overrides_of(const GgufTypeOptions& options) {
  MixOverrides out{.pure = options.pure, .leave_output = options.leave_output_tensor};
  if (!options.output_tensor_type.empty()) out.output = format_named(options.output_tensor_type, "output_tensor_type");
  if (!options.token_embedding_type.empty()) {
    out.embedding = format_named(options.token_embedding_type, "token_embedding_type");
  }
  for (const auto& [pattern, type] : options.tensor_types) {
    // llama-quantize has names of tensors in lower case whatever was typed.
    out.patterns.push_back({.text = lower_case(pattern), .format = format_named(type, "tensor_types")});
  }
  return out;
}

void check_types(const SourceModel& source, const FilePlan& plan, const Mix* mix, const QuantizationOptions& options) {
  for (std::size_t i = 0; i < source.tensors.size(); ++i) {
    const SourceTensor& tensor = source.tensors[i];
    const BlockFormat format = plan.formats[i];
    if (format == tensor.format) continue;
    if (tensor.quantized && !options.gguf.allow_requantize) {
      throw Error(ErrorKind::usage, "the source is quantized already, and quantizing codes again costs quality",
                  {.file = source.path,
                   .field = tensor.name,
                   .expected = "allow_requantize",
                   .found = block_info(tensor.format).name});
    }
    const std::vector<float> importance = importance_of(plan.importance, tensor);
    const bool wants = needs_importance(format) || (mix != nullptr && wants_importance(*mix, tensor.name, format));
    if (wants && importance.empty()) {
      if (options.dry_run) continue;
      throw Error(ErrorKind::usage, std::string(block_info(format).name) + " is of no use without importance",
                  {.file = source.path,
                   .field = tensor.name,
                   .expected = "an importance matrix, or a text to collect one from"});
    }
    RowsToQuantize rows{.tensor = tensor.name, .rows = tensor.row_count(), .columns = tensor.columns()};
    if (!importance.empty()) rows.importance = std::span(importance).first(static_cast<std::size_t>(rows.columns));
    check_quantizes(format, rows);
  }
}

}  // namespace powerhouse
