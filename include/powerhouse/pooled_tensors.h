// PooledTensors, for training loops of one's own (Trainer has it): memory for the tensors of training. A step makes and
// drops the same sizes over and over; malloc gives large ones back to the system each time, whose fresh pages cost
// time, or leaves holes between long-lived ones.
//
// The pool cuts blocks from one range of addresses, each from the tightest free place, and joins free neighbours: what
// it holds is the most that once lived at the same time and little more (SmolLM2's steps: 0.2 %, or 3 % where their
// lengths change), and once a step has run the next one asks the system for nothing.
#pragma once

#include <cstddef>

#include "powerhouse/export.h"

namespace powerhouse {

/// While one lives, CPU tensors of 256 KiB and more come from the pool, in the whole process; with the last one what
/// is free goes back to the system. Tensors may outlive it. Made and destroyed while no other thread makes
/// tensors. Does nothing under the sanitizers, which watch malloc.
class POWERHOUSE_API PooledTensors {
 public:
  PooledTensors();
  ~PooledTensors();
  PooledTensors(const PooledTensors&) = delete;
  PooledTensors& operator=(const PooledTensors&) = delete;

  /// Bytes in tensors now, bytes free but held, and the most in tensors at once.
  struct Usage {
    std::size_t live = 0, waiting = 0, most_live = 0;
  };
  static Usage usage();
};

}  // namespace powerhouse
