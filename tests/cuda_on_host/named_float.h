// An element type of 16 bits that loses nothing: the bits are the name of a float32 in a table. Kernels built for it
// move and multiply what they would move and multiply in bfloat16, in the same places, but compute in float32.
//
// Names are handed out as values come, 65,534 at most until they are forgotten: enough for small problems. 0 is zero,
// as copies that fill with zeros need; all bits set is NaN, as memory is that nobody wrote.
#pragma once

#include <cstdint>

namespace powerhouse::cuda_on_host {

struct NamedFloat {
  std::uint16_t bits = 0;
};

float to_float(NamedFloat name);
void from_float(float value, NamedFloat& out);
void forget_named_floats();

inline float widen_low(std::uint32_t pair, NamedFloat) { return to_float({static_cast<std::uint16_t>(pair)}); }
inline float widen_high(std::uint32_t pair, NamedFloat) { return to_float({static_cast<std::uint16_t>(pair >> 16)}); }

}  // namespace powerhouse::cuda_on_host
