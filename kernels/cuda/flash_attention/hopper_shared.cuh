// Shared memory of a block of Hopper's forward kernel: stages of tiles, and the barriers that pass them from the warp
// that copies to the warpgroups that multiply and back.
#pragma once

#include "kernels/cuda/flash_attention/hopper_tile.h"
#include "kernels/cuda/primitives_hopper.cuh"

namespace powerhouse::cuda {

/// Stages of one kind, one after another, and of each whether its tile has come and whether it has been read.
template <int kStages_, int kBytes_>
struct HopperRing {
  static constexpr int kStages = kStages_, kBytes = kBytes_;
  unsigned char* tiles;
  SharedBarrier *full, *empty;

  /// By one thread: one announces each tile, and `readers` say when they have read it.
  __device__ __forceinline__ void init(int readers) const {
    for (int stage = 0; stage < kStages; ++stage) {
      barrier_init(full + stage, 1);
      barrier_init(empty + stage, readers);
    }
  }
};

/// Where one side is in a ring.
template <typename Ring>
struct HopperStage {
  const Ring& ring;
  int index = 0, parity = 0;

  __device__ __forceinline__ explicit HopperStage(const Ring& of) : ring(of) {}
  __device__ __forceinline__ unsigned char* tile() const { return ring.tiles + index * Ring::kBytes; }
  __device__ __forceinline__ SharedBarrier* full() const { return ring.full + index; }
  /// Waits for the tile.
  __device__ __forceinline__ void wait_full() const { barrier_wait(full(), parity); }
  /// Waits until nobody reads what the stage held before, and announces the tile to come.
  __device__ __forceinline__ void announce() const {
    barrier_wait(ring.empty + index, parity ^ 1);
    barrier_arrive_expecting(full(), Ring::kBytes);
  }
  /// A reader is done.
  __device__ __forceinline__ void release() const { barrier_arrive(ring.empty + index); }
  __device__ __forceinline__ void next() {
    index = index + 1 == Ring::kStages ? 0 : index + 1;
    parity ^= index == 0 ? 1 : 0;
  }
};

template <typename Tile>
struct HopperShared {
  using Queries = HopperRing<Tile::kQueryStages, Tile::kQueryBytes>;
  using Keys = HopperRing<Tile::kStages, Tile::kKeyBytes>;
  Queries q;  // [segments, kBlockM, 64] of a stage, each row of 128 bytes swizzled
  Keys k, v;  // [segments, kBlockN, 64]

  __device__ __forceinline__ HopperShared() {
    q.tiles = shared_memory();
    k.tiles = q.tiles + Queries::kStages * Queries::kBytes;
    v.tiles = k.tiles + Keys::kStages * Keys::kBytes;
    q.full = reinterpret_cast<SharedBarrier*>(v.tiles + Keys::kStages * Keys::kBytes);
    q.empty = q.full + Queries::kStages;
    k.full = q.empty + Queries::kStages;
    k.empty = k.full + Keys::kStages;
    v.full = k.empty + Keys::kStages;
    v.empty = v.full + Keys::kStages;
  }
  __device__ __forceinline__ void init() const {
    constexpr int kWarps = Tile::kConsumers * 4;
    q.init(kWarps);
    k.init(kWarps);
    v.init(kWarps);
    barrier_init_fence();
  }
};

}  // namespace powerhouse::cuda
