// Beside memory, who touched it last: finds races, reads of what nobody wrote, and bytes that a copy is still writing.
//
// Kept by granules of 16 bytes, each with lists of touches and the bytes that each covers. A write is checked against
// all reads that it may race with (FastTrack, Flanagan and Freund 2009, with a list in place of a vector clock); reads
// that later ones came after are dropped from time to time, since all threads of a block may read the same number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "cuda_on_host/clocks.h"
#include "cuda_on_host/fault.h"

namespace powerhouse::cuda_on_host {

enum class Use : std::uint8_t { read, write, atomic };

/// The thread that touches, and what it has heard of the others of its block; of other blocks no thread hears.
struct Toucher {
  const Clocks& clocks;
  std::uint32_t block;
  unsigned thread;
};

struct Conflict {
  FaultKind kind{};
  std::size_t offset = 0;
  std::optional<unsigned> other{};  ///< the other thread of a race
  bool other_block = false;
};

class Shadow {
 public:
  /// Forgets everything; `ready`: the bytes have a value.
  void reset(std::size_t bytes, bool ready);
  /// Forgets who touched, not what has a value: a new launch came after all of the last.
  void forget_touches();

  /// Notes the touch if nothing speaks against it.
  std::optional<Conflict> touch(std::size_t offset, std::size_t bytes, Use use, const Toucher& by);

  /// Bytes that a copy is about to write.
  void begin_copy(std::size_t offset, std::size_t bytes) { mark_in_flight(offset, bytes, true); }
  void end_copy(std::size_t offset, std::size_t bytes) { mark_in_flight(offset, bytes, false); }

  /// Bytes that nobody gave a value.
  std::size_t unwritten() const;

 private:
  struct Touch {
    std::uint32_t block, moment;
    std::uint16_t thread, bytes;  // a bit a byte
    bool atomic;
  };
  struct Granule {
    std::vector<Touch> writes, reads;
    std::size_t look_through_at = 8;  // reads, for such as later ones make needless; twice as many as were left
    std::uint16_t ready = 0, in_flight = 0;
  };

  static std::optional<Conflict> touch(Granule& granule, std::uint16_t bytes, Use use, const Toucher& by);
  /// Of a block's reads, those of a thread that it made again later.
  static void keep_newest(std::vector<Touch>& reads, std::uint32_t block);
  void mark_in_flight(std::size_t offset, std::size_t bytes, bool value);

  std::vector<Granule> granules_;
  std::size_t bytes_ = 0;
};

}  // namespace powerhouse::cuda_on_host
