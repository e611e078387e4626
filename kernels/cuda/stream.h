// CUDA's stream by the name of the struct behind it, for headers that include nothing of CUDA.
#pragma once

struct CUstream_st;  // cudaStream_t is a pointer to it

namespace powerhouse::cuda {

using Stream = CUstream_st*;

}  // namespace powerhouse::cuda
