// StateMemory: zeros for all states of an optimizer, in one mapping.
//
// Unpaged it is anonymous memory; pages that no step has touched cost nothing. Paged it is a file without a name whose
// blocks are reserved at once, so that a full disk is an Error before training and not a signal within it. Pages that a
// step is done with leave the resident set; the system writes them back when it needs the room.
#pragma once

#include <cstddef>
#include <string>

namespace powerhouse {

class StateMemory {
 public:
  /// `folder` is where a paged file lies; empty: the system's temporary folder. Throws Error{io} or Error{memory}.
  StateMemory(std::size_t bytes, bool paged, const std::string& folder);
  StateMemory(const StateMemory&) = delete;
  StateMemory& operator=(const StateMemory&) = delete;
  ~StateMemory();

  std::byte* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  bool paged() const noexcept { return paged_; }
  /// Takes the whole pages of [data, data + size) out of the resident set. Nothing where unpaged.
  void release(const void* data, std::size_t size) const noexcept;

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  bool paged_ = false;
};

}  // namespace powerhouse
