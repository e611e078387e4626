#include "kernels/cuda/tensor_map.h"

#include <cuda.h>
#include <cuda_runtime.h>

namespace powerhouse::cuda {

namespace {

using Encode = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*, const cuuint64_t*,
                            const cuuint32_t*, const cuuint32_t*, CUtensorMapInterleave, CUtensorMapSwizzle,
                            CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

// The driver's own function, found by name: the library links the runtime alone.
Encode find_encode() {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result{};
  const cudaError_t error =
      cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &result);
  cudaGetLastError();  // an answer, not a failure of the next launch
  return error == cudaSuccess && result == cudaDriverEntryPointSuccess ? reinterpret_cast<Encode>(found) : nullptr;
}

}  // namespace

bool encode_tensor_map(const TensorTiles& tiles, TensorMap& map) {
  static_assert(sizeof(TensorMap) == sizeof(CUtensorMap) && alignof(TensorMap) == alignof(CUtensorMap));
  static const Encode encode = find_encode();
  if (encode == nullptr) return false;
  cuuint64_t sizes[4], strides[3];
  for (int i = 0; i < 4; ++i) sizes[i] = tiles.sizes[i];
  for (int i = 0; i < 3; ++i) strides[i] = tiles.strides[i] * 2;
  const cuuint32_t box[4] = {tiles.tile[0], tiles.tile[1], 1, 1}, steps[4] = {1, 1, 1, 1};
  return encode(reinterpret_cast<CUtensorMap*>(&map),
                tiles.bfloat ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 4,
                const_cast<void*>(tiles.data), sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

}  // namespace powerhouse::cuda
