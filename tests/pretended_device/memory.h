// The memory of a device that is not there: pages of this process that the host may not touch, as it may not touch a
// GPU's. Who does without HostAccess ends with a segmentation fault.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>

namespace powerhouse::pretended_device {

class Memory {
 public:
  static Memory& get();

  /// On 512 bytes, as LibTorch's allocator for CUDA gives them; every byte is 0xFF, NaN in all float types.
  void* take(std::size_t bytes);
  void give(void* place);
  bool holds(const void* address) const;
  std::byte* begin() const { return begin_; }
  static constexpr std::size_t kBytes = std::size_t{256} << 20;

  void open();
  void close();

 private:
  Memory();

  std::byte* begin_;
  std::mutex mutex_{};
  int open_ = 0;
  std::map<std::byte*, std::size_t> taken_{}, free_{};
};

/// While one lives, the memory may be touched: what the device does.
class HostAccess {
 public:
  HostAccess() { Memory::get().open(); }
  ~HostAccess() { Memory::get().close(); }
  HostAccess(const HostAccess&) = delete;
  HostAccess& operator=(const HostAccess&) = delete;
};

}  // namespace powerhouse::pretended_device
