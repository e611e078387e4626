// A seeded order of n rows in constant memory: a Feistel network over the next power of four, whose rounds are Philox,
// walked until it lands inside. The same on every machine (Black and Rogaway, "Ciphers with arbitrary finite domains").
#pragma once

#include <array>
#include <cstdint>

#include "support/philox.h"

namespace powerhouse::training {

class Permutation {
 public:
  /// An order of `count` rows; `use` and `epoch` tell orders of the same seed apart.
  Permutation(std::int64_t count, std::uint64_t seed, std::uint32_t use, std::uint32_t epoch)
      : count_(static_cast<std::uint64_t>(count)),
        key_{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)},
        use_(use),
        epoch_(epoch) {
    while ((std::uint64_t{1} << (2 * half_bits_)) < count_) ++half_bits_;
  }

  /// The row at `place`; every row of [0, count) at one place.
  std::int64_t operator[](std::int64_t place) const {
    auto value = static_cast<std::uint64_t>(place);
    do {
      value = encipher(value);
    } while (value >= count_);
    return static_cast<std::int64_t>(value);
  }

 private:
  std::uint64_t encipher(std::uint64_t value) const {
    const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
    auto left = static_cast<std::uint32_t>(value >> half_bits_);
    auto right = static_cast<std::uint32_t>(value & mask);
    for (std::uint32_t round = 0; round < 6; ++round) {
      const std::uint32_t mixed = philox({right, round << 16 | use_, epoch_, kStream}, key_)[0];
      const std::uint32_t next = (left ^ mixed) & static_cast<std::uint32_t>(mask);
      left = right;
      right = next;
    }
    return std::uint64_t{left} << half_bits_ | right;
  }

  static constexpr std::uint32_t kStream = static_cast<std::uint32_t>(RandomStream::data);
  std::uint64_t count_;
  std::array<std::uint32_t, 2> key_;
  std::uint32_t use_, epoch_;
  int half_bits_ = 1;
};

}  // namespace powerhouse::training
