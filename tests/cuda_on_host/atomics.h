// Atomic operations on global and shared memory. They race with plain accesses, not with each other.
#pragma once

#include <cstdint>

#include "kernels/common/float16.h"

namespace powerhouse::cuda_on_host {

/// All return what was there before.
float atomic_add(float* at, float value);
std::int32_t atomic_add(std::int32_t* at, std::int32_t value);
std::uint32_t atomic_add(std::uint32_t* at, std::uint32_t value);
std::int32_t atomic_max(std::int32_t* at, std::int32_t value);
std::uint32_t atomic_exchange(std::uint32_t* at, std::uint32_t value);
std::uint32_t atomic_compare_exchange(std::uint32_t* at, std::uint32_t expected, std::uint32_t value);
/// Four numbers side by side, each atomic by itself, as one access.
void atomic_add_four(float* at, const float* values);
/// A fault where fewer than `turn` turns have ended.
void wait_for_turn(const std::int32_t* turns, std::int32_t turn);
/// Two elements side by side, each atomic by itself.
std::uint32_t atomic_add_pair(bfloat16* at, std::uint32_t value);
std::uint32_t atomic_add_pair(float16* at, std::uint32_t value);

}  // namespace powerhouse::cuda_on_host
