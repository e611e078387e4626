#include "pretended_device/memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <new>

namespace powerhouse::pretended_device {
namespace {

constexpr std::size_t kUnit = 512;

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

void* Memory::take(std::size_t bytes) {
  const std::size_t size = (bytes + kUnit - 1) / kUnit * kUnit;
  if (size == 0) return nullptr;
  std::byte* place = nullptr;
  {
    const std::lock_guard lock(mutex_);
    for (auto& [at, room] : free_) {
      if (room < size) continue;
      place = at;
      const std::size_t left = room - size;
      free_.erase(at);
      if (left > 0) free_[place + size] = left;
      break;
    }
    if (place == nullptr) throw std::bad_alloc();
    taken_[place] = size;
  }
  const HostAccess access;
  std::memset(place, 0xFF, size);
  return place;
}

void Memory::give(void* address) {
  if (address == nullptr) return;
  const std::lock_guard lock(mutex_);
  const auto taken = taken_.find(static_cast<std::byte*>(address));
  auto [place, size] = *taken;
  taken_.erase(taken);
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
