// What the tests of CUDA kernels share: buffers of elements in a kernel's memory, and the three schedules.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cpu_kernels.h"
#include "kernels/cuda_rows/kernels_on_host.h"

namespace powerhouse::testing {

/// A copy of a buffer at an address as cudaMalloc gives it, or `offset` elements behind one.
class DeviceBuffer {
 public:
  DeviceBuffer(cuda_on_host::GlobalMemory& memory, const Buffer& from, std::string name,
               cuda_on_host::Contents contents, std::int64_t offset = 0)
      : type_(from.type()), count_(from.size()) {
    const auto bytes = static_cast<std::size_t>(count_ * element_bytes(type_));
    const auto skipped = static_cast<std::size_t>(offset * element_bytes(type_));
    bytes_ = std::make_unique<cuda_on_host::DeviceArray<std::uint8_t>>(bytes + skipped);
    data_ = bytes_->data() + skipped;
    std::memcpy(data_, from.data(), bytes);
    memory.add(data_, bytes, std::move(name), contents);
  }

  void* data() { return data_; }
  float* floats() { return reinterpret_cast<float*>(data_); }
  Buffer host() const {
    Buffer copy(type_, count_);
    std::memcpy(copy.data(), data_, static_cast<std::size_t>(count_ * element_bytes(type_)));
    return copy;
  }

 private:
  Element type_;
  std::int64_t count_;
  std::unique_ptr<cuda_on_host::DeviceArray<std::uint8_t>> bytes_;
  std::uint8_t* data_ = nullptr;
};

inline constexpr cuda_on_host::Order kSchedules[] = {cuda_on_host::Order::forward, cuda_on_host::Order::backward,
                                                     cuda_on_host::Order::random};

/// Accesses of 16 bytes that move a sector or take a cycle of shared memory more than their words need; empty: none.
inline std::string costly_accesses(const std::vector<cuda_on_host::LaunchReport>& reports) {
  std::vector<cuda_on_host::InstructionTraffic> costly;
  for (const auto& report : reports) {
    for (const auto& row : report.traffic) {
      if (row.size == 16 && row.cost.paid != row.cost.ideal) costly.push_back(row);
    }
  }
  return costly.empty() ? "" : "traffic:\n" + cuda_on_host::traffic_table(costly);
}

/// There are accesses of 16 bytes, and they cost no more than they have to.
inline void expect_ideal_accesses(const HostLauncher& launcher, const std::string& what) {
  EXPECT_EQ(costly_accesses(launcher.reports), "") << what;
  int seen = 0;
  for (const auto& report : launcher.reports) {
    for (const auto& row : report.traffic) seen += row.size == 16 ? 1 : 0;
  }
  EXPECT_GT(seen, 0) << what << ": no access of 16 bytes";
}

}  // namespace powerhouse::testing
