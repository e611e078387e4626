#include "pretended_device/memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <new>

namespace powerhouse::pretended_device {
namespace {

constexpr std::size_t kUnit = 512;
constexpr int kSpoiled = 0xFF;

}  // namespace

Memory& Memory::get() {
  static auto* const only = new Memory();  // tensors may live until the process ends
  return *only;
}

Memory::Memory()
    : begin_(static_cast<std::byte*>(
          ::mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {
  if (begin_ == MAP_FAILED) throw std::bad_alloc();
  free_[begin_] = kBytes;
}

std::byte* Memory::find(Blocks& blocks, std::size_t size, bool split) const {
  for (auto& [at, room] : blocks) {
    if (room < size) continue;
    std::byte* const place = at;
    const std::size_t left = room - size;
    if (!split && left > 0) continue;
    blocks.erase(at);
    if (left > 0) blocks[place + size] = left;
    return place;
  }
  return nullptr;
}

void* Memory::take(std::size_t bytes) {
  const std::size_t size = (bytes + kUnit - 1) / kUnit * kUnit;
  if (size == 0) return nullptr;
  std::byte* place = nullptr;
  {
    const std::lock_guard lock(mutex_);
    Pool* const pool = recorder_ == std::this_thread::get_id() ? current_ : nullptr;
    if (pool != nullptr) place = find(pool->free, size, /*split=*/false);
    if (place == nullptr) place = find(free_, size, /*split=*/true);
    if (place == nullptr) throw std::bad_alloc();
    (pool != nullptr ? pool->taken : taken_)[place] = size;
  }
  const HostAccess access;
  std::memset(place, kSpoiled, size);
  return place;
}

void Memory::give(void* address) {
  if (address == nullptr) return;
  auto* const place = static_cast<std::byte*>(address);
  std::size_t size = 0;
  {
    const std::lock_guard lock(mutex_);
    for (Pool* const pool : pools_) {
      const auto own = pool->taken.find(place);
      if (own == pool->taken.end()) continue;
      pool->free[place] = own->second;
      pool->taken.erase(own);
      return;
    }
    const auto taken = taken_.find(place);
    size = taken->second;
    taken_.erase(taken);
    if (pools_.empty()) return release(place, size);
    spoiled_[place] = size;
  }
  const HostAccess access;
  std::memset(place, kSpoiled, size);
}

void Memory::release(std::byte* place, std::size_t size) {
  const auto next = free_.lower_bound(place);
  if (next != free_.end() && next->first == place + size) {
    size += next->second;
    free_.erase(next);
  }
  const auto above = free_.lower_bound(place);
  if (above != free_.begin()) {
    const auto before = std::prev(above);
    if (before->first + before->second == place) {
      before->second += size;
      return;
    }
  }
  free_[place] = size;
}

void Memory::begin_pool(Pool& pool) {
  const std::lock_guard lock(mutex_);
  pools_.insert(&pool);
  current_ = &pool;
  recorder_ = std::this_thread::get_id();
}

void Memory::end_pool() {
  const std::lock_guard lock(mutex_);
  current_ = nullptr;
  recorder_ = {};
}

void Memory::spoil(const Pool& pool) {
  const HostAccess access;
  for (const Blocks* const blocks : {&pool.taken, &pool.free}) {
    for (const auto& [place, size] : *blocks) std::memset(place, kSpoiled, size);
  }
}

int Memory::drop_pool(Pool& pool) {
  const std::lock_guard lock(mutex_);
  if (current_ == &pool) current_ = nullptr;
  pools_.erase(&pool);
  const auto outlived = static_cast<int>(pool.taken.size());
  taken_.merge(pool.taken);
  for (const auto& [place, size] : pool.free) release(place, size);
  if (pools_.empty()) {
    for (const auto& [place, size] : spoiled_) release(place, size);
    spoiled_.clear();
  }
  return outlived;
}

Memory::Contents Memory::contents() {
  const HostAccess access;
  const std::lock_guard lock(mutex_);
  Contents all;
  for (const auto& [place, size] : taken_) all.emplace_back(place, std::vector<std::byte>(place, place + size));
  return all;
}

void Memory::restore(const Contents& contents) {
  const HostAccess access;
  const std::lock_guard lock(mutex_);
  for (const auto& [place, bytes] : contents) {
    if (taken_.contains(place)) std::memcpy(place, bytes.data(), bytes.size());
  }
}

bool Memory::holds(const void* address) const {
  return reinterpret_cast<std::uintptr_t>(address) - reinterpret_cast<std::uintptr_t>(begin_) < kBytes;
}

void Memory::open() {
  const std::lock_guard lock(mutex_);
  if (++open_ == 1) ::mprotect(begin_, kBytes, PROT_READ | PROT_WRITE);
}

void Memory::close() {
  const std::lock_guard lock(mutex_);
  if (--open_ == 0) ::mprotect(begin_, kBytes, PROT_NONE);
}

}  // namespace powerhouse::pretended_device
