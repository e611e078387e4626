#include "support/normal.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "support/thread_team.h"

namespace powerhouse {
namespace {

constexpr std::int64_t kBlock = 4;  // words of 32 bits in a block of Philox
constexpr std::int64_t kGrain = 4096;

// Two uniform numbers make two normal ones.
void fill_block(float* out, std::int64_t count, double deviation, const std::array<std::uint32_t, kBlock>& words) {
  float numbers[kBlock];
  for (std::size_t at = 0; at < kBlock; at += 2) {
    const double u = (words[at] + 1.0) * 0x1.0p-32;  // above 0
    const double angle = 2 * std::numbers::pi * words[at + 1] * 0x1.0p-32;
    const double radius = deviation * std::sqrt(-2 * std::log(u));
    numbers[at] = static_cast<float>(radius * std::cos(angle));
    numbers[at + 1] = static_cast<float>(radius * std::sin(angle));
  }
  std::copy(numbers, numbers + count, out);
}

}  // namespace

void fill_normal(float* out, std::int64_t count, double deviation, const Random& random) {
  parallel_for((count + kBlock - 1) / kBlock, kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t block = begin; block < end; ++block) {
      const std::int64_t at = block * kBlock;
      fill_block(out + at, std::min(kBlock, count - at), deviation, random.block(static_cast<std::uint64_t>(block)));
    }
  });
}

}  // namespace powerhouse
