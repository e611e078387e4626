// The memory of a device that is not there: pages of this process that the host may not touch, as it may not touch a
// GPU's. Who does without HostAccess ends with a segmentation fault.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <utility>
#include <vector>

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

  /// The memory of a graph: what this thread takes from begin_pool() to end_pool(). What is given back can be taken
  /// again by the same recording, and by nobody else until the pool is dropped.
  struct Pool {
    std::map<std::byte*, std::size_t> taken{}, free{};
  };
  void begin_pool(Pool& pool);
  void end_pool();
  /// Every byte of it becomes 0xFF.
  void spoil(const Pool& pool);
  /// Gives it all back; what is in use still lives on as any memory. Returns how many allocations those are.
  int drop_pool(Pool& pool);

  /// What all memory in use holds. `restore` leaves out what has been given back meanwhile.
  using Contents = std::vector<std::pair<std::byte*, std::vector<std::byte>>>;
  Contents contents();
  void restore(const Contents& contents);

 private:
  using Blocks = std::map<std::byte*, std::size_t>;

  Memory();
  std::byte* find(Blocks& blocks, std::size_t size, bool split) const;
  void release(std::byte* place, std::size_t size);  // to `free_`

  std::byte* begin_;
  std::mutex mutex_{};
  int open_ = 0;
  Blocks taken_{}, free_{};
  std::set<Pool*> pools_{};
  Pool* current_ = nullptr;  // being recorded, by `recorder_`
  std::thread::id recorder_{};
  Blocks spoiled_{};  // given back while there were pools: graphs may have its addresses
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
