// A watermark on a row that may have lost tokens.
#pragma once

#include <cstdint>
#include <span>

#include "powerhouse/logits_processors.h"

namespace powerhouse {

/// As processors::Watermark, of the tokens `ids`, rising, out of `vocabulary`; all of them where `ids` is empty.
void bias_green(const WatermarkOptions& options, std::span<float> logits, std::span<const std::int64_t> ids,
                std::size_t vocabulary, const LogitsContext& context);

}  // namespace powerhouse
