// PooledTensors, for training loops of one's own (Trainer has it): memory for the tensors of training. A step makes and
// drops the same sizes over and over; malloc gives large ones back to the system each time, whose fresh pages cost
// time, or leaves holes between long-lived ones.
//
// A dropped block waits for the next tensor of its size (an eighth of a power of two is one size). What waits and what
// lives are together at most an eighth more than what once lived at the same time: before the pool asks the system for
// more than that, the blocks that waited longest go back.
#pragma once

#include <cstddef>

#include "powerhouse/export.h"

namespace powerhouse {

/// While one lives, CPU tensors of 256 KiB and more come from the pool, in the whole process; with the last one the
/// blocks that wait go back to the system. Tensors may outlive it. Made and destroyed while no other thread makes
/// tensors. Does nothing under the sanitizers, which watch malloc.
class POWERHOUSE_API PooledTensors {
 public:
  PooledTensors();
  ~PooledTensors();
  PooledTensors(const PooledTensors&) = delete;
  PooledTensors& operator=(const PooledTensors&) = delete;

  /// Bytes of the pool's blocks now, and the most that lived at once.
  struct Usage {
    std::size_t live = 0, waiting = 0, most_live = 0;
  };
  static Usage usage();
};

}  // namespace powerhouse
