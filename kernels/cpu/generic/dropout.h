// Dropout by Philox4x32-10 (Salmon et al. 2011): many blocks side by side, one a lane, in loops that compilers turn
// into vectors; eight elements a block.
#pragma once

#include <cstdint>

#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

constexpr int kPhiloxLanes = 16;
constexpr int kPhiloxElements = 8;  // of a block

/// The blocks at counter .. counter + kPhiloxLanes - 1, one behind the other.
inline void philox_blocks(const DropoutParams& params, std::uint64_t counter, std::uint32_t* words) {
  std::uint32_t c[4][kPhiloxLanes];
  for (int i = 0; i < kPhiloxLanes; ++i) {
    const std::uint64_t at = counter + static_cast<std::uint64_t>(i);
    c[0][i] = static_cast<std::uint32_t>(at);
    c[1][i] = static_cast<std::uint32_t>(at >> 32);
    c[2][i] = params.lane;
    c[3][i] = params.stream;
  }
  std::uint32_t key[2] = {params.key[0], params.key[1]};
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < kPhiloxLanes; ++i) {
      const std::uint64_t product0 = std::uint64_t{0xD2511F53u} * c[0][i];
      const std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * c[2][i];
      c[0][i] = static_cast<std::uint32_t>(product1 >> 32) ^ c[1][i] ^ key[0];
      c[1][i] = static_cast<std::uint32_t>(product1);
      c[2][i] = static_cast<std::uint32_t>(product0 >> 32) ^ c[3][i] ^ key[1];
      c[3][i] = static_cast<std::uint32_t>(product0);
    }
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  for (int i = 0; i < kPhiloxLanes; ++i) {
    for (int word = 0; word < 4; ++word) words[4 * i + word] = c[word][i];
  }
}

template <typename T>
inline void dropout_row(const DropoutParams& params, std::int64_t row) {
  constexpr std::int64_t kGroup = kPhiloxLanes * kPhiloxElements;
  const T* const x = static_cast<const T*>(params.x) + row * params.x_stride;
  T* const y = static_cast<T*>(params.y) + row * params.y_stride;
  const std::int64_t blocks = (params.columns + kPhiloxElements - 1) / kPhiloxElements;
  const std::uint64_t counter = params.counter + static_cast<std::uint64_t>(row * blocks);
  for (std::int64_t begin = 0; begin < params.columns; begin += kGroup) {
    std::uint32_t words[kGroup / 2];
    float factors[kGroup];
    philox_blocks(params, counter + static_cast<std::uint64_t>(begin / kPhiloxElements), words);
    for (int i = 0; i < kGroup / 2; ++i) {
      factors[2 * i] = (words[i] & 0xFFFFu) >= params.threshold ? params.kept : 0.0f;
      factors[2 * i + 1] = words[i] >> 16 >= params.threshold ? params.kept : 0.0f;
    }
    const std::int64_t size = smaller(kGroup, params.columns - begin);
    for (std::int64_t i = 0; i < size; i += kWidth) {
      const int count = lanes(size, i);
      write(y + begin + i, mul(read(x + begin + i, count), load(factors + i)), count);
    }
  }
}

void dropout(const DropoutParams& params, std::int64_t begin, std::int64_t end) {
  visit(params.type, [&](auto tag) {
    for (std::int64_t row = begin; row < end; ++row) dropout_row<typename decltype(tag)::Type>(params, row);
  });
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
