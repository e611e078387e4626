// The methods behind `quantize` (powerhouse/quantization.h), by the word that options.type names them with.
#pragma once

#include <cstdint>
#include <string>

#include "powerhouse/quantization.h"

namespace powerhouse {

struct QuantizationMethod {
  const char* name;  ///< lower case
  QuantizationSummary (*quantize)(const std::string& source, const std::string& output,
                                  const QuantizationOptions& options);
};

QuantizationSummary quantize_by_gptq(const std::string& source, const std::string& output,
                                     const QuantizationOptions& options);
QuantizationSummary quantize_by_awq(const std::string& source, const std::string& output,
                                    const QuantizationOptions& options);

/// "nf4", "fp4" and "int8".
QuantizationSummary quantize_by_bitsandbytes(const std::string& source, const std::string& output,
                                             const QuantizationOptions& options);

QuantizationSummary quantize_by_hqq(const std::string& source, const std::string& output,
                                    const QuantizationOptions& options);

/// All words above, with commas between.
std::string names_of_methods();

/// Error{unsupported} for a dry run.
void refuse_dry_run(const QuantizationOptions& options);
/// Of methods that look at weights alone: Error{usage} for a text or an importance matrix, {unsupported} for a dry run.
void check_weights_only(const QuantizationOptions& options);

/// What `options.on_progress` hears of methods that go layer by layer.
void tell_layer(const QuantizationOptions& options, std::int64_t done, std::int64_t total);
/// Of all tensors in a checkpoint's files.
std::uint64_t tensor_bytes(const std::string& checkpoint);

/// Of ASCII letters, which options.type is of.
std::string lower_case(std::string text);

/// Mixes and types of GGUF, and "budget": what no other row of the table names.
QuantizationSummary quantize_to_gguf(const std::string& source, const std::string& output,
                                     const QuantizationOptions& options);

}  // namespace powerhouse
