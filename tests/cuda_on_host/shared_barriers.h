// Barriers in shared memory that count arrivals and bytes (mbarrier), and the copies of tensor tiles that end on them.
//
// As with cp.async a copy happens as late as it may: when a thread waits for the phase whose bytes it brings, and the
// phase lacks nothing else. Until then its place holds NaN and any touch of it is a fault.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "cuda_on_host/clocks.h"
#include "kernels/cuda/tensor_map.h"

namespace powerhouse::cuda_on_host {

class SharedBarriers {
 public:
  void reset() { barriers_.clear(); }

  void init(std::uintptr_t address, int arrivals, const void* site);
  /// The running thread has come, and so many bytes are to come in this phase.
  void arrive(std::uintptr_t address, int bytes, const void* site);
  /// The running thread stops until the phase of this parity has ended.
  void wait(std::uintptr_t address, int parity, const void* site);
  /// A tile from column, row, head and outer on.
  void copy(unsigned char* to, const cuda::TensorTiles& tiles, std::uintptr_t address, const std::int64_t (&from)[4],
            const void* site);
  /// Whether somebody waited for each copy.
  bool finished() const;

 private:
  struct Piece {  // 16 bytes
    unsigned char* to;
    const unsigned char* from;  // null: zeros
  };
  struct Copy {
    unsigned thread;  // who asked for it
    std::vector<Piece> pieces;
  };
  struct Barrier {
    int expected = 0, pending = 0;  // arrivals
    std::int64_t bytes = 0;         // announced, and not yet come
    unsigned phase = 0;
    Clocks::Knowledge told, ended;  // what those who came know, in this phase and in those before
    std::vector<unsigned> waiting;
    std::vector<Copy> copies;
  };

  Barrier& at(std::uintptr_t address, const void* site);
  /// Ends the phase where nothing but copies is missing.
  void settle(Barrier& barrier);

  std::map<std::uintptr_t, Barrier> barriers_;
};

void barrier_init(void* barrier, int arrivals);
void barrier_arrive(void* barrier, int bytes);
void barrier_wait(void* barrier, int parity);
void copy_tile(void* to, const cuda::TensorMap& map, void* barrier, int column, int row, int head, int outer);

}  // namespace powerhouse::cuda_on_host
