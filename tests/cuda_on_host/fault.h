// What a kernel did wrong, who did it and where.
#pragma once

#include <cstdint>
#include <string>

namespace powerhouse::cuda_on_host {

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
};

enum class FaultKind {
  write_write_race,  ///< two threads wrote these bytes, with no barrier between
  write_read_race,   ///< read what another thread wrote, with no barrier between
  read_write_race,   ///< wrote what another thread read, with no barrier between
  bounds,            ///< outside the shared memory asked for, or outside every buffer
  uninitialized,     ///< read before anyone wrote
  misaligned,        ///< an address that is no multiple of the access's size
  read_only,         ///< wrote an input
  copy_in_flight,    ///< touched bytes that a cp.async may still be writing
  copy_unfinished,   ///< a thread ended before it waited for its cp.async
  divergence,        ///< lanes of a warp stand at different warp operations or barriers
  mask,              ///< a lane that is not in its mask, or lanes with different masks, or a lane read that is absent
  barrier,           ///< threads disagree about how many a named barrier is for
  deadlock,          ///< every thread waits
  unfenced,          ///< a tile copy or a warpgroup's product after plain accesses, with no fence between
};

const char* fault_name(FaultKind kind);

struct Fault {
  FaultKind kind{};
  Dim3 block{0, 0, 0};
  unsigned warp = 0, lane = 0;
  std::string buffer{};     ///< "shared", or a buffer's name; empty where no address is at fault
  std::int64_t offset = 0;  ///< bytes from the buffer's beginning
  std::string detail{};     ///< the other thread of a race, or who waits in a deadlock

  std::string text() const;
};

}  // namespace powerhouse::cuda_on_host
