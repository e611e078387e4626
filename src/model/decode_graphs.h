// Decoding on a device by CUDA graphs: what a session's step queues is recorded once for a shape and then run again as
// a whole. All that differs from token to token lies in the pass's bundle, which is written in place.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <list>
#include <memory>

#include "model/adapter_table.h"
#include "model/weights.h"
#include "ops/device_bundle.h"
#include "ops/device_graph.h"

namespace powerhouse {

/// The graphs of one session.
class DecodeGraphs {
 public:
  explicit DecodeGraphs(const at::Device& device) : device_(device) {}

  /// Whether there are graphs on such a device, and the environment does not say POWERHOUSE_CUDA_GRAPHS=0.
  static bool wanted(const at::Device& device);

  /// What a recorded step is bound to.
  struct Shape {
    std::int64_t sequences = 0;                      ///< one new row each
    std::int64_t pages = 0;                          ///< room in the tables of pages, for each
    std::uint64_t addresses = 0;                     ///< addresses_of() what the model computes with
    std::shared_ptr<const AdapterTable> adapters{};  ///< which never change

    bool operator==(const Shape&) const = default;
  };

  /// Whether steps with such adapters (null: none) only queue work.
  bool takes(const std::shared_ptr<const AdapterTable>& adapters);
  /// Room for tables of at least so many pages: it grows by doubling, and each growth is recorded anew.
  static std::int64_t room_for(std::int64_t pages);

  /// `pass` queues a step that reads `inputs`, once they are sent, and returns what is kept of it. The first step of a
  /// shape runs as it is, so that all that is made once is there; the second is recorded. The result is overwritten by
  /// the next step.
  at::Tensor step(const Shape& shape, ops::DeviceBundle& inputs, const std::function<at::Tensor()>& pass);

 private:
  // Members end in reverse order: what lies in a graph's memory before the graph.
  struct Entry {
    Shape shape;
    at::Tensor inputs{};
    std::unique_ptr<ops::DeviceGraph> graph{};
    at::Tensor result{};
  };

  at::Device device_;
  std::list<Entry> entries_{};  // the last used first
  std::shared_ptr<const AdapterTable> judged_{};
  bool judgement_ = true;
};

/// Changes where a weight, or a tensor of an adapter (null: none), lies elsewhere than before on the device.
std::uint64_t addresses_of(const DecoderWeights& weights, const AdapterTable* adapters);

}  // namespace powerhouse
