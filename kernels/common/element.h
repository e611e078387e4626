// The element types that float kernels compute from and store to, and one element at a time by run-time type.
//
// Everything here is `static`: each kernel file keeps its own copy (see float16.h).
#pragma once

#include <cstdint>

#include "kernels/common/float16.h"

namespace powerhouse {

enum class Element : std::uint8_t { f32, bf16, f16 };

static constexpr std::int64_t element_bytes(Element type) { return type == Element::f32 ? 4 : 2; }

static inline float read_element(const void* data, Element type, std::int64_t index) {
  switch (type) {
    case Element::f32: return static_cast<const float*>(data)[index];
    case Element::bf16: return to_float(static_cast<const bfloat16*>(data)[index]);
    case Element::f16: return to_float(static_cast<const float16*>(data)[index]);
  }
  return 0.0f;
}

static inline void write_element(void* data, Element type, std::int64_t index, float value) {
  switch (type) {
    case Element::f32: static_cast<float*>(data)[index] = value; break;
    case Element::bf16: from_float(value, static_cast<bfloat16*>(data)[index]); break;
    case Element::f16: from_float(value, static_cast<float16*>(data)[index]); break;
  }
}

/// The nearest value that the type can store.
static inline float round_element(float value, Element type) {
  switch (type) {
    case Element::f32: return value;
    case Element::bf16: return to_float(rounded<bfloat16>(value));
    case Element::f16: return to_float(rounded<float16>(value));
  }
  return value;
}

}  // namespace powerhouse
