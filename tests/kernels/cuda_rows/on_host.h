// Runs the launchers of kernels/cuda on the CPU, under every order of threads, and holds what they did to the rules.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cuda_on_host/launch.h"
#include "kernels/cuda/launch_shape.h"

namespace powerhouse::testing {

/// In the place of a stream: launches as the device's launcher does.
class HostLauncher {
 public:
  HostLauncher(cuda_on_host::GlobalMemory& memory, cuda_on_host::Order order, std::uint64_t seed)
      : memory_(memory), options_{.order = order, .seed = seed} {}

  void count_traffic(std::int64_t block) { options_.traffic_block = block; }

  template <typename... Of, typename... Given>
  void operator()(const cuda::LaunchShape& shape, void (*kernel)(Of...), const Given&... arguments) const {
    if (shape.empty()) return;
    const cuda_on_host::Dim3 grid{static_cast<unsigned>(shape.grid_x), static_cast<unsigned>(shape.grid_y),
                                  static_cast<unsigned>(shape.grid_z)};
    reports.push_back(cuda_on_host::launch(grid, {shape.block_x, shape.block_y},
                                           static_cast<std::size_t>(shape.shared_bytes), memory_, options_,
                                           [&] { kernel(arguments...); }));
    if (after_launch) after_launch();
  }

  std::string text() const {
    for (const auto& report : reports) {
      if (report.fault) return report.text();
    }
    return "clean";
  }

  mutable std::vector<cuda_on_host::LaunchReport> reports{};
  std::function<void()> after_launch{};  ///< for what the memory counts by launch

 private:
  cuda_on_host::GlobalMemory& memory_;
  cuda_on_host::LaunchOptions options_;
};

}  // namespace powerhouse::testing
