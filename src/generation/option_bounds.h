// The bounds of generation's options.
#pragma once

#include "powerhouse/generation.h"

namespace powerhouse {

/// Throws Error{usage} naming the field.
[[noreturn]] void out_of_bounds(const char* field, const char* expected, double found);

/// Error{usage} naming the first option outside its bounds.
void check_options(const GenerationOptions& options);
/// Error{usage} naming the first option that makes no sense where several texts are followed at once.
void check_search(const GenerationOptions& options);
void check_sampling(const GenerationOptions& options);

/// The first option that is set of those that truncate, or move the temperature; null where none is.
const char* truncation_of(const GenerationOptions& options);
void check_watermark(const WatermarkOptions& options);

/// Error{range} where an id that the options name is not of the vocabulary.
void check_ids(const GenerationOptions& options, std::int64_t vocab_size);

}  // namespace powerhouse
