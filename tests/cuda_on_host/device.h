// CUDA's built-in variables, shared memory and barriers of the block, for the swapped primitives.
#pragma once

#include "cuda_on_host/fault.h"

namespace powerhouse::cuda_on_host {

/// Where the thread that runs is.
struct Position {
  Dim3 thread, block, block_size, grid;
  unsigned lane, warp, index;  // index: in the block
};
extern Position position;

unsigned char* shared_memory();

/// bar.sync where the thread waits, bar.arrive where it does not; 0 threads: all that have not ended.
void come_to_barrier(int id, int threads, bool waits);

}  // namespace powerhouse::cuda_on_host
