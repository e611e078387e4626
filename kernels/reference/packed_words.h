// Packing of formats whose blocks hold 32 elements and one scale (Q4_0 to Q8_0, IQ4_NL): four elements of a row are one
// word of a panel, and words are made of words, without unpacking codes. Loading such a model is waiting for this.
#pragma once

#include "kernels/common/packed.h"

namespace powerhouse {

/// What pack_panel does, for layouts of one level.
void pack_words(const PackedLayout& layout, const void* const* rows, std::int64_t inputs, void* panel) noexcept;

}  // namespace powerhouse
