// MT19937 (Matsumoto and Nishimura 1998), the generator behind torch's CPU numbers: the same as std::mt19937, whose
// state libstdc++ keeps in 64 bits a word, at a third of its time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace powerhouse {

class MersenneTwister {
 public:
  static constexpr std::size_t kWords = 624;

  explicit MersenneTwister(std::uint32_t seed) {
    state_[0] = seed;
    for (std::uint32_t i = 1; i < kWords; ++i) {
      state_[i] = 1812433253u * (state_[i - 1] ^ (state_[i - 1] >> 30)) + i;
    }
  }

  /// The next 624 numbers; valid until the next call.
  const std::array<std::uint32_t, kWords>& next() {
    constexpr std::size_t kAhead = 397;
    const auto twist = [this](std::size_t i, std::size_t next, std::size_t ahead) {
      const std::uint32_t bits = (state_[i] & 0x80000000u) | (state_[next] & 0x7fffffffu);
      state_[i] = state_[ahead] ^ (bits >> 1) ^ (-(bits & 1u) & 0x9908b0dfu);
    };
    for (std::size_t i = 0; i < kWords - kAhead; ++i) twist(i, i + 1, i + kAhead);
    for (std::size_t i = kWords - kAhead; i < kWords - 1; ++i) twist(i, i + 1, i + kAhead - kWords);
    twist(kWords - 1, 0, kAhead - 1);
    for (std::size_t i = 0; i < kWords; ++i) {
      std::uint32_t bits = state_[i];
      bits ^= bits >> 11;
      bits ^= (bits << 7) & 0x9d2c5680u;
      bits ^= (bits << 15) & 0xefc60000u;
      numbers_[i] = bits ^ (bits >> 18);
    }
    return numbers_;
  }

 private:
  std::array<std::uint32_t, kWords> state_{}, numbers_{};
};

}  // namespace powerhouse
