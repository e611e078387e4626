// The memory a kernel may touch: buffers known by name, and the shared memory of the block that runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <string>
#include <vector>

#include "cuda_on_host/shadow.h"

namespace powerhouse::cuda_on_host {

/// input: has a value and may not be written; output: has none at first; in_out: has one and may be written; unnoted:
/// the same without a note of who touches what, for memory too large for that.
enum class Contents { input, output, in_out, unnoted };

struct GlobalBuffer {
  std::uintptr_t begin = 0, end = 0;
  std::string name{};
  Contents contents = Contents::input;
  std::uint64_t bytes_read = 0, bytes_written = 0;  ///< by all blocks of the last launch
  Shadow shadow{};                                  ///< of outputs
};

/// Lasts over launches: what one wrote, the next may read.
class GlobalMemory {
 public:
  void add(const void* data, std::size_t bytes, std::string name, Contents contents);
  void begin_launch();

  GlobalBuffer* holding(std::uintptr_t address, std::size_t bytes);
  /// The buffer that an address out of bounds most likely meant; null where none is near.
  const GlobalBuffer* near(std::uintptr_t address) const;
  const GlobalBuffer& named(const std::string& name) const;

 private:
  std::deque<GlobalBuffer> buffers_;
};

class SharedMemory {
 public:
  static constexpr std::size_t kMost = 228 << 10;  // of a multiprocessor of compute capability 9.0

  SharedMemory();
  ~SharedMemory() { std::free(memory_); }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  /// A new block: no byte has a value. The bytes are NaN in every float type.
  void reset(std::size_t bytes);
  unsigned char* data() const { return memory_; }
  std::size_t bytes() const { return bytes_; }
  /// Also true beyond the bytes asked for, so that overruns are told from stray pointers.
  bool holds(std::uintptr_t address) const { return address - reinterpret_cast<std::uintptr_t>(memory_) < kMost; }
  std::size_t offset(std::uintptr_t address) const { return address - reinterpret_cast<std::uintptr_t>(memory_); }

  Shadow shadow{};

 private:
  unsigned char* memory_;
  std::size_t bytes_ = 0;
};

/// Elements aligned as cudaMalloc aligns them, so that sectors are counted as on a device. Not set to anything.
template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t size)
      : size_(size), data_(static_cast<T*>(std::aligned_alloc(256, (size * sizeof(T) + 511) / 256 * 256))) {}
  ~DeviceArray() { std::free(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return size_ * sizeof(T); }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }

 private:
  std::size_t size_;
  T* data_;
};

}  // namespace powerhouse::cuda_on_host
