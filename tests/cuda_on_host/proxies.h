// Which plain accesses to shared memory no fence has followed yet: copies of tiles and products of a warpgroup go
// another way to it (the async proxy), and barriers alone do not order the two.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace powerhouse::cuda_on_host {

class Proxies {
 public:
  void reset(std::size_t bytes, std::size_t threads);
  /// From here on accesses are noted: the block has barriers that copies end on, or products of warpgroups.
  void start() { noting_ = true; }

  void plain(std::size_t offset, std::size_t bytes, unsigned thread);
  void fence(unsigned thread) { ++fences_[thread]; }
  /// Whether all plain accesses to these bytes were followed by a fence of who made them.
  bool fenced(std::size_t offset, std::size_t bytes);

 private:
  struct Access {
    std::uint32_t thread, fences;  // that the thread had made by then
  };

  bool noting_ = false;
  std::vector<std::vector<Access>> granules_;  // of 16 bytes
  std::vector<std::uint32_t> fences_;          // by thread
};

/// The running thread's plain accesses so far come before copies and products that it is known to.
void fence_async();

}  // namespace powerhouse::cuda_on_host
