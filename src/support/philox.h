// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a counter-based generator.
//
// Every random number of the library is a pure function of (seed, stream, counter), so results do not depend on thread
// count, batch composition or device. Streams keep uses apart.
#pragma once

#include <array>
#include <cstdint>

namespace powerhouse {

enum class RandomStream : std::uint32_t { data = 1, dropout = 2, initialization = 3, sampling = 4, rounding = 5 };

/// One block of four independent 32-bit words.
constexpr std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53u} * counter[0];
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(product0)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

/// The numbers of one use: `stream` says what for, `lane` tells requests (or tensors) apart.
class Random {
 public:
  Random(std::uint64_t seed, RandomStream stream, std::uint32_t lane = 0)
      : key_{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)},
        stream_(static_cast<std::uint32_t>(stream)),
        lane_(lane) {}

  /// The block at `counter`; the same arguments always give the same words.
  std::array<std::uint32_t, 4> block(std::uint64_t counter) const {
    return philox({static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32), lane_, stream_},
                  key_);
  }

  /// Uniform in [0, 1) with 53 bits.
  double uniform(std::uint64_t counter) const {
    const auto words = block(counter);
    const std::uint64_t bits = (std::uint64_t{words[0]} << 32 | words[1]) >> 11;
    return static_cast<double>(bits) * 0x1.0p-53;
  }

 private:
  std::array<std::uint32_t, 2> key_;
  std::uint32_t stream_;
  std::uint32_t lane_;
};

}  // namespace powerhouse
