// What the shim's own tests share (no gmock: its atomics would need the sanitizer's library): small launches in all
// orders, which have to be clean or to end with a fault.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <initializer_list>
#include <string>

#include "cuda_on_host/launch.h"
#include "kernels/cuda/primitives.cuh"

namespace powerhouse::cuda_on_host {

/// 1 KiB of each kind of buffer; `input` counts up from 0, the others hold zeros, which `output` does not know of.
class LaunchTest : public ::testing::Test {
 protected:
  struct Shape {
    unsigned blocks = 1, threads = 32;
    std::size_t shared_bytes = 1024;
  };

  LaunchTest() {
    for (int i = 0; i < 256; ++i) input[i] = static_cast<float>(i), output[i] = in_out[i] = 0;
  }

  LaunchReport run(const Shape& shape, const Kernel& kernel, const LaunchOptions& options = {}) {
    GlobalMemory memory;
    memory.add(input.data(), input.bytes(), "input", Contents::input);
    memory.add(output.data(), output.bytes(), "output", Contents::output);
    memory.add(in_out.data(), in_out.bytes(), "in_out", Contents::in_out);
    return launch({shape.blocks}, {shape.threads}, shape.shared_bytes, memory, options, kernel);
  }

  void expect_clean(const Shape& shape, const Kernel& kernel) {
    for (const Order order : kOrders) {
      EXPECT_FALSE(run(shape, kernel, {.order = order}).fault) << run(shape, kernel, {.order = order}).text();
    }
  }

  /// One of the kinds, since which of two racing accesses comes first is a matter of order; `where` is in the report.
  void expect_fault(std::initializer_list<FaultKind> kinds, const std::string& where, const Shape& shape,
                    const Kernel& kernel) {
    for (const Order order : kOrders) {
      const LaunchReport report = run(shape, kernel, {.order = order});
      ASSERT_TRUE(report.fault) << "order " << static_cast<int>(order);
      EXPECT_TRUE(std::find(kinds.begin(), kinds.end(), report.fault->kind) != kinds.end()) << report.text();
      EXPECT_NE(report.text().find(where), std::string::npos) << report.text() << "\nis not about: " << where;
    }
  }

  static float* shared() { return reinterpret_cast<float*>(cuda::shared_memory()); }
  static unsigned thread() { return threadIdx.x; }

  inline static DeviceArray<float> input{256}, output{256}, in_out{256};  // static: kernels may read where they are
};

}  // namespace powerhouse::cuda_on_host
