// cp.async: copies that happen as late as they may, when the thread waits for them.
//
// Until then the destination holds NaN and any touch of it is a fault, so that a wait that is missing or comes too
// late, or a barrier missing after it, is found even where the numbers would happen to be right.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace powerhouse::cuda_on_host {

class Copies {
 public:
  void reset(unsigned threads) { threads_.assign(threads, {}); }

  void issue(unsigned char* to, const void* from, std::size_t size, std::size_t source_bytes, const void* site);
  /// Copies since the last commit become a group.
  void commit();
  /// Waits until at most `pending` of the newest groups are unfinished.
  void wait(unsigned pending);
  /// The running thread ends.
  void check_finished() const;

 private:
  struct Copy {
    unsigned char* to;
    const void* from;
    std::size_t size, source_bytes;
    unsigned group;
  };
  struct OfThread {
    std::vector<Copy> issued;
    unsigned committed = 0;  // groups
  };

  std::vector<OfThread> threads_;
};

/// `size` bytes, 4, 8 or 16, of which `source_bytes` are read and the others become 0.
void copy_async(void* to, const void* from, std::size_t size, std::size_t source_bytes);
void copy_async_commit();
void copy_async_wait(unsigned pending);

}  // namespace powerhouse::cuda_on_host
