// What the hardware that copies tiles of a tensor is told of it: plain data here, encoded by the driver
// (tensor_map.cpp).
#pragma once

#include <cstdint>

namespace powerhouse::cuda {

/// CUtensorMap, for headers that include nothing of CUDA.
struct alignas(128) TensorMap {
  std::uint64_t words[16];
};

/// A tensor of 16-bit elements in four dimensions, the first contiguous, and the tile that one copy brings.
struct TensorTiles {
  const void* data = nullptr;     ///< aligned to 16 bytes; nothing outside of the sizes is touched
  std::uint64_t sizes[4] = {};    ///< elements, from the innermost dimension
  std::uint64_t strides[3] = {};  ///< elements, of the second to the fourth: multiples of 8
  std::uint32_t tile[2] = {};     ///< columns, 64 with a swizzle of 128 bytes; rows, at most 256
  bool bfloat = true;
};

/// False: the driver can't encode it.
bool encode_tensor_map(const TensorTiles& tiles, TensorMap& map);

}  // namespace powerhouse::cuda
