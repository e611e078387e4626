// What a user says of types, as the mixes take it, and whether a source can have the types that came of it.
#pragma once

#include <string>

#include "powerhouse/quantization.h"
#include "quantization/file_quantizer.h"
#include "quantization/mixes.h"
#include "quantization/source_model.h"

namespace powerhouse {

std::string upper_case(std::string text);

/// A type that weights are written in, by name in any case. Error{usage} naming `field`.
BlockFormat format_named(const std::string& name, const char* field);

MixOverrides overrides_of(const GgufTypeOptions& options);

/// Error{usage} naming the tensor where codes would be quantized again without leave, importance is missing that the
/// type needs (`mix` null: only where there is no such type without), or blocks do not divide rows.
void check_types(const SourceModel& source, const FilePlan& plan, const Mix* mix, const QuantizationOptions& options);

}  // namespace powerhouse
