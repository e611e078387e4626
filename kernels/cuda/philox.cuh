// Philox4x32-10 (Salmon et al., SC 2011): the same words for the same key and counter as support/philox.h.
#pragma once

#include "kernels/cuda/vectors.cuh"

namespace powerhouse::cuda {

struct PhiloxWords {
  std::uint32_t word[4];
};

static __device__ __forceinline__ PhiloxWords philox(PhiloxWords counter, std::uint32_t key0, std::uint32_t key1) {
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const std::uint32_t* const c = counter.word;
    counter = {{multiply_high(0xCD9E8D57u, c[2]) ^ c[1] ^ key0, 0xCD9E8D57u * c[2],
                multiply_high(0xD2511F53u, c[0]) ^ c[3] ^ key1, 0xD2511F53u * c[0]}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

}  // namespace powerhouse::cuda
