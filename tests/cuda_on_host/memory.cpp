#include "cuda_on_host/memory.h"

#include <cstring>
#include <new>
#include <stdexcept>
#include <utility>

namespace powerhouse::cuda_on_host {

void GlobalMemory::add(const void* data, std::size_t bytes, std::string name, Contents contents) {
  GlobalBuffer buffer;
  buffer.begin = reinterpret_cast<std::uintptr_t>(data);
  buffer.end = buffer.begin + bytes;
  buffer.name = std::move(name);
  buffer.contents = contents;
  if (contents == Contents::output || contents == Contents::in_out)
    buffer.shadow.reset(bytes, contents == Contents::in_out);
  buffers_.push_back(std::move(buffer));
}

void GlobalMemory::begin_launch() {
  for (GlobalBuffer& buffer : buffers_) {
    buffer.bytes_read = buffer.bytes_written = 0;
    buffer.shadow.forget_touches();
  }
}

GlobalBuffer* GlobalMemory::holding(std::uintptr_t address, std::size_t bytes) {
  for (GlobalBuffer& buffer : buffers_) {
    if (address >= buffer.begin && address + bytes <= buffer.end) return &buffer;
  }
  return nullptr;
}

const GlobalBuffer* GlobalMemory::near(std::uintptr_t address) const {
  const GlobalBuffer* best = nullptr;
  std::uintptr_t least = 1 << 16;
  for (const GlobalBuffer& buffer : buffers_) {
    const std::uintptr_t distance = address < buffer.begin ? buffer.begin - address
                                    : address < buffer.end ? 0
                                                           : address - buffer.end;
    if (distance >= least) continue;
    least = distance;
    best = &buffer;
  }
  return best;
}

const GlobalBuffer& GlobalMemory::named(const std::string& name) const {
  for (const GlobalBuffer& buffer : buffers_) {
    if (buffer.name == name) return buffer;
  }
  throw std::invalid_argument("no buffer " + name);
}

SharedMemory::SharedMemory() : memory_(static_cast<unsigned char*>(std::aligned_alloc(4096, kMost))) {
  if (memory_ == nullptr) throw std::bad_alloc();
}

void SharedMemory::reset(std::size_t bytes) {
  bytes_ = bytes;
  std::memset(memory_, 0xFF, bytes);
  shadow.reset(bytes, false);
}

}  // namespace powerhouse::cuda_on_host
