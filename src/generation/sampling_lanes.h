// What the random numbers of one text are for. Numbers of one lane are independent of those of another, so that no two
// choices about a text hang together.
#pragma once

#include <cstdint>

#include "support/philox.h"

namespace powerhouse {

enum class SamplingLane : std::uint32_t {
  token = 0,   // by its place
  coin = 1,    // XTC's, by the place of the token
  draft = 2,   // drafted tokens, counted
  accept = 3,  // whether a drafted token stays, counted
};

inline Random sampling_random(std::uint64_t seed, SamplingLane lane) {
  return {seed, RandomStream::sampling, static_cast<std::uint32_t>(lane)};
}

}  // namespace powerhouse
