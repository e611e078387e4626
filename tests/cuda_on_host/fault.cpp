#include "cuda_on_host/fault.h"

namespace powerhouse::cuda_on_host {

const char* fault_name(FaultKind kind) {
  switch (kind) {
    case FaultKind::write_write_race: return "race: written by two threads with no barrier between";
    case FaultKind::write_read_race: return "race: read after another thread's write with no barrier between";
    case FaultKind::read_write_race: return "race: written after another thread's read with no barrier between";
    case FaultKind::bounds: return "out of bounds";
    case FaultKind::uninitialized: return "read before anything was written";
    case FaultKind::misaligned: return "misaligned address";
    case FaultKind::read_only: return "an input was written";
    case FaultKind::copy_in_flight: return "touched while a cp.async may still be writing";
    case FaultKind::copy_unfinished: return "thread ended with a cp.async in flight";
    case FaultKind::divergence: return "lanes of a warp are at different operations";
    case FaultKind::mask: return "wrong mask of a warp operation";
    case FaultKind::barrier: return "threads disagree about a named barrier's size";
    case FaultKind::deadlock: return "deadlock";
    case FaultKind::unfenced: return "copied or multiplied after plain accesses with no fence of theirs between";
  }
  return "unknown";
}

std::string Fault::text() const {
  const auto number = [](auto value) { return std::to_string(value); };
  std::string out = fault_name(kind);
  out += ": block " + number(block.x) + "," + number(block.y) + "," + number(block.z);
  out += " warp " + number(warp) + " lane " + number(lane);
  if (!buffer.empty()) out += " at " + buffer + (offset < 0 ? "" : "+") + number(offset);
  if (!detail.empty()) out += " (" + detail + ")";
  return out;
}

}  // namespace powerhouse::cuda_on_host
