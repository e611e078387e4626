// Work on a device that is recorded once and then run again as a whole, over the same addresses: a CUDA graph
// (kernels/cuda/graph.h). What it reads must be written in place, and be there as long as the graph is.
#pragma once

#include <c10/core/Device.h>

#include <functional>

#include "kernels/cuda/kernel_table.h"

namespace powerhouse::ops {

class DeviceGraph {
 public:
  /// Records what `work` queues on the device, from this thread, and runs nothing of it. What `work` allocates is the
  /// graph's memory; tensors of it that are kept hold values behind each replay, until the next one.
  ///
  /// Error{unsupported} with LibTorch's words where `work` waits for the device, copies between it and the host, or
  /// throws anything but that memory ran out; nothing is left of the graph then.
  DeviceGraph(const c10::Device& device, const std::function<void()>& work);
  ~DeviceGraph() { table_.graph_drop(graph_); }
  DeviceGraph(const DeviceGraph&) = delete;
  DeviceGraph& operator=(const DeviceGraph&) = delete;

  /// Queues all of it on the current stream. Error{device}.
  void replay() const;

  /// Whether the device's kernels come with graphs.
  static bool available(const c10::Device& device);

 private:
  const cuda::KernelTable& table_;
  cuda::Graph* graph_ = nullptr;
};

}  // namespace powerhouse::ops
