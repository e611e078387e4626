// Time on the device, by events of LibTorch's current stream.
#pragma once

#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "gpu_check/machine.h"

namespace powerhouse::gpu_check {

/// Seconds of one call: the median of nine runs of so many calls that a run takes about 10 ms, warmed up before.
/// `work(i)` gets the number of the call, so that it can take turns among data larger than the caches.
inline double seconds_of(const Machine& machine, const std::function<void(int)>& work) {
  const c10::impl::VirtualGuardImpl guard(machine.device.type());
  const auto run = [&](int calls) {
    c10::Event begin(machine.device.type(), c10::EventFlag::BACKEND_DEFAULT);
    c10::Event end(machine.device.type(), c10::EventFlag::BACKEND_DEFAULT);
    begin.record(guard.getStream(machine.device));
    for (int i = 0; i < calls; ++i) work(i);
    end.record(guard.getStream(machine.device));
    end.synchronize();
    return begin.elapsedTime(end) / 1e3;
  };
  run(2);
  const double once = run(3) / 3;
  const int calls = std::clamp(static_cast<int>(0.01 / std::max(once, 1e-7)), 1, 500);
  std::vector<double> times;
  for (int i = 0; i < 9; ++i) times.push_back(run(calls) / calls);
  std::nth_element(times.begin(), times.begin() + 4, times.end());
  return times[4];
}

}  // namespace powerhouse::gpu_check
