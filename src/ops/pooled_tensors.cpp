#include "powerhouse/pooled_tensors.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>

#include <bit>
#include <cstring>
#include <list>
#include <mutex>
#include <unordered_map>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define POWERHOUSE_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define POWERHOUSE_SANITIZED
#endif
#endif

namespace powerhouse {
namespace {

constexpr std::size_t kSmallest = 256 << 10;  // from here on a size is whole pages

std::size_t size_class(std::size_t bytes) {
  const std::size_t step = std::bit_floor(bytes) / 8;
  return (bytes + step - 1) / step * step;
}

// Blocks of large pages begin where such a page does.
void* map(std::size_t size) {
  constexpr std::size_t kLargePage = 2 << 20;
  const std::size_t spare = size >= kLargePage ? kLargePage : 0;
  void* const mapped = ::mmap(nullptr, size + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  if (spare == 0) return mapped;
  auto* const first = static_cast<std::byte*>(mapped);
  const std::size_t before = (kLargePage - reinterpret_cast<std::uintptr_t>(mapped) % kLargePage) % kLargePage;
  if (before > 0) ::munmap(first, before);
  if (before < spare) ::munmap(first + before + size, spare - before);
#ifdef MADV_HUGEPAGE
  ::madvise(first + before, size, MADV_HUGEPAGE);
#endif
  return first + before;
}

class Pool final : public c10::Allocator {
 public:
  static Pool& instance() {
    static Pool* const pool = new Pool();  // tensors may outlive every static object
    return *pool;
  }

  void open() {
    const std::lock_guard lock(mutex_);
    if (users_++ > 0) return;
    below_ = c10::GetCPUAllocator();
    usage_.most_live = usage_.live;
    c10::SetCPUAllocator(this);
  }

  void close() {
    const std::lock_guard lock(mutex_);
    if (--users_ > 0) return;
    c10::SetCPUAllocator(below_);
    while (!waiting_.empty()) unmap_oldest();
  }

  PooledTensors::Usage usage() {
    const std::lock_guard lock(mutex_);
    return usage_;
  }

  c10::DataPtr allocate(std::size_t bytes) override {
    if (bytes < kSmallest) return below_->allocate(bytes);
    const std::size_t size = size_class(bytes);
    void* const data = take(size);
    if (data == nullptr) return below_->allocate(bytes);  // which fails in its own words
    report(data, size, true);
    return {data, data, &give_back, c10::Device(c10::DeviceType::CPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &give_back; }

  void copy_data(void* to, const void* from, std::size_t bytes) const override { std::memcpy(to, from, bytes); }

 private:
  struct Block {
    void* data;
    std::size_t size;
  };

  static void give_back(void* data) {
    if (data != nullptr) instance().put(data);
  }

  void* take(std::size_t size) {
    const std::lock_guard lock(mutex_);
    usage_.most_live = std::max(usage_.most_live, usage_.live + size);
    // The youngest first, which may still be in a cache.
    for (auto block = waiting_.begin(); block != waiting_.end(); ++block) {
      if (block->size != size) continue;
      void* const data = block->data;
      waiting_.erase(block);
      usage_.waiting -= size;
      return keep(data, size);
    }
    while (!waiting_.empty() && usage_.live + usage_.waiting + size > most_kept()) unmap_oldest();
    void* data = map(size);
    while (data == nullptr && !waiting_.empty()) {
      unmap_oldest();
      data = map(size);
    }
    return data == nullptr ? nullptr : keep(data, size);
  }

  // Sizes come in another order than they went: without room to spare, a step in full asked for 6 % of its time.
  std::size_t most_kept() const { return usage_.most_live + usage_.most_live / 8; }

  void* keep(void* data, std::size_t size) {
    sizes_.emplace(data, size);
    usage_.live += size;
    return data;
  }

  void put(void* data) {
    std::size_t size = 0;
    {
      const std::lock_guard lock(mutex_);
      const auto found = sizes_.find(data);
      if (found == sizes_.end()) return below_->raw_deleter()(data);  // a small one, by raw_allocate
      size = found->second;
      sizes_.erase(found);
      usage_.live -= size;
      if (users_ > 0) {
        waiting_.push_front({data, size});
        usage_.waiting += size;
      } else {
        ::munmap(data, size);
      }
    }
    report(data, size, false);
  }

  void unmap_oldest() {
    const Block block = waiting_.back();
    waiting_.pop_back();
    usage_.waiting -= block.size;
    ::munmap(block.data, block.size);
  }

  void report(void* data, std::size_t size, bool taken) {
    if (!c10::memoryProfilingEnabled()) return;
    const PooledTensors::Usage now = usage();
    const auto bytes = static_cast<std::int64_t>(size);
    c10::reportMemoryUsageToProfiler(data, taken ? bytes : -bytes, now.live, now.live + now.waiting,
                                     c10::Device(c10::DeviceType::CPU));
  }

  std::mutex mutex_{};
  int users_ = 0;
  c10::Allocator* below_ = nullptr;
  std::unordered_map<void*, std::size_t> sizes_{};  // of the blocks that live
  std::list<Block> waiting_{};                      // the youngest first
  PooledTensors::Usage usage_{};
};

}  // namespace

#ifdef POWERHOUSE_SANITIZED
PooledTensors::PooledTensors() = default;
PooledTensors::~PooledTensors() = default;
#else
PooledTensors::PooledTensors() { Pool::instance().open(); }
PooledTensors::~PooledTensors() { Pool::instance().close(); }
#endif
PooledTensors::Usage PooledTensors::usage() { return Pool::instance().usage(); }

}  // namespace powerhouse
