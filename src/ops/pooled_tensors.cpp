#include "powerhouse/pooled_tensors.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "support/large_page.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define POWERHOUSE_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define POWERHOUSE_SANITIZED
#endif
#endif

namespace powerhouse {
namespace {

constexpr std::size_t kSmallest = 256 << 10;
constexpr std::size_t kPage = 4 << 10;
constexpr std::size_t kSpan = std::size_t{8} << 30;  // of addresses: pages that nothing was written to cost nothing

std::size_t rounded_up(std::size_t bytes, std::size_t unit) { return (bytes + unit - 1) / unit * unit; }

/// Addresses in a row, used from their beginning up to `top`; what is free below that is resident.
class Span {
 public:
  /// Nothing where the system has no such room.
  static std::unique_ptr<Span> make(std::size_t size) {
    void* const mapped =
        ::mmap(nullptr, size + kLargePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return mapped == MAP_FAILED ? nullptr : std::unique_ptr<Span>(new Span(mapped, size));
  }
  Span(const Span&) = delete;
  Span& operator=(const Span&) = delete;
  ~Span() { ::munmap(mapped_, size_ + kLargePage); }

  /// The tightest free place, or a new one at the top. Null where there is no room.
  std::byte* take(std::size_t size) {
    const auto tightest = by_size_.lower_bound({size, nullptr});
    if (tightest == by_size_.end()) return extend(size);
    const auto [free, place] = *tightest;
    forget(place, free);
    if (free > size) remember(place + size, free - size);
    ++live_;
    return place;
  }

  void put(std::byte* place, std::size_t size) {
    --live_;
    const auto after = free_.lower_bound(place);
    if (after != free_.end() && after->first == place + size) {
      const auto [next, free] = *after;
      forget(next, free);
      size += free;
    }
    const auto behind = free_.lower_bound(place);
    if (behind != free_.begin()) {
      const auto [previous, free] = *std::prev(behind);
      if (previous + free == place) {
        forget(previous, free);
        place = previous;
        size += free;
      }
    }
    remember(place, size);
  }

  bool holds(const void* data) const { return data >= begin_ && data < begin_ + size_; }
  bool is_empty() const { return live_ == 0; }
  std::size_t waiting() const { return waiting_; }

  /// Gives free pages back to the system and takes no more blocks.
  void close() {
    for (const auto& [place, size] : free_) ::madvise(place, size, MADV_DONTNEED);
    free_.clear();
    by_size_.clear();
    waiting_ = 0;
    top_ = begin_ + size_;
  }

 private:
  Span(void* mapped, std::size_t size) : mapped_(mapped), size_(size) {
    const auto address = reinterpret_cast<std::uintptr_t>(mapped);
    top_ = begin_ = static_cast<std::byte*>(mapped) + (rounded_up(address, kLargePage) - address);
#ifdef MADV_HUGEPAGE
    ::madvise(begin_, size, MADV_HUGEPAGE);
#endif
  }

  std::byte* extend(std::size_t size) {
    std::byte* place = top_;
    if (!free_.empty()) {
      const auto [last, free] = *std::prev(free_.end());
      if (last + free == top_) place = last;
    }
    if (size > static_cast<std::size_t>(begin_ + size_ - place)) return nullptr;
    if (place < top_) forget(place, static_cast<std::size_t>(top_ - place));
    top_ = place + size;
    ++live_;
    return place;
  }

  void remember(std::byte* place, std::size_t size) {
    free_.emplace(place, size);
    by_size_.emplace(size, place);
    waiting_ += size;
  }
  void forget(std::byte* place, std::size_t size) {
    free_.erase(place);
    by_size_.erase({size, place});
    waiting_ -= size;
  }

  void* mapped_;
  std::size_t size_;
  std::byte *begin_, *top_;
  std::size_t live_ = 0, waiting_ = 0;
  std::map<std::byte*, std::size_t> free_{};
  std::set<std::pair<std::size_t, std::byte*>> by_size_{};
};

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
    most_live_ = live_;
    c10::SetCPUAllocator(this);
  }

  void close() {
    const std::lock_guard lock(mutex_);
    if (--users_ > 0) return;
    c10::SetCPUAllocator(below_);
    std::erase_if(spans_, [](const auto& span) { return span->is_empty(); });
    for (const auto& span : spans_) span->close();
  }

  PooledTensors::Usage usage() {
    const std::lock_guard lock(mutex_);
    std::size_t waiting = 0;
    for (const auto& span : spans_) waiting += span->waiting();
    return {live_, waiting, most_live_};
  }

  c10::DataPtr allocate(std::size_t bytes) override {
    if (bytes < kSmallest) return below_->allocate(bytes);
    const std::size_t size = rounded_up(bytes, kPage);
    void* const data = take(size);
    if (data == nullptr) return below_->allocate(bytes);  // which fails in its own words
    report(data, size, true);
    return {data, data, &give_back, c10::Device(c10::DeviceType::CPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &give_back; }

  void copy_data(void* to, const void* from, std::size_t bytes) const override { std::memcpy(to, from, bytes); }

 private:
  static void give_back(void* data) {
    if (data != nullptr) instance().put(data);
  }

  std::byte* find_room(std::size_t size) {
    for (const auto& span : spans_) {
      if (std::byte* const place = span->take(size); place != nullptr) return place;
    }
    auto span = Span::make(std::max(kSpan, rounded_up(size, kLargePage)));
    if (span == nullptr) span = Span::make(rounded_up(size, kLargePage));  // where addresses are counted
    if (span == nullptr) return nullptr;
    spans_.push_back(std::move(span));
    return spans_.back()->take(size);
  }

  void* take(std::size_t size) {
    const std::lock_guard lock(mutex_);
    std::byte* const data = find_room(size);
    if (data == nullptr) return nullptr;
    sizes_.emplace(data, size);
    live_ += size;
    most_live_ = std::max(most_live_, live_);
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
      live_ -= size;
      const auto span =
          std::find_if(spans_.begin(), spans_.end(), [data](const auto& one) { return one->holds(data); });
      (*span)->put(static_cast<std::byte*>(data), size);
      if (users_ == 0) (*span)->is_empty() ? static_cast<void>(spans_.erase(span)) : (*span)->close();
    }
    report(data, size, false);
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
  std::vector<std::unique_ptr<Span>> spans_{};      // nearly always one
  std::size_t live_ = 0, most_live_ = 0;
};

}  // namespace

#ifdef POWERHOUSE_SANITIZED
PooledTensors::PooledTensors() = default;
PooledTensors::~PooledTensors() = default;
#else
PooledTensors::PooledTensors() { Pool::instance().open(); }
PooledTensors::~PooledTensors() { Pool::instance().close(); }
#endif
#undef POWERHOUSE_SANITIZED
PooledTensors::Usage PooledTensors::usage() { return Pool::instance().usage(); }

}  // namespace powerhouse
