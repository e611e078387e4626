#include "model/decode_graphs.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <string_view>

namespace powerhouse {
namespace {

constexpr std::size_t kMostGraphs = 4;  // each keeps the memory of a step
constexpr std::int64_t kFirstPages = 8;

}  // namespace

bool DecodeGraphs::wanted(const at::Device& device) {
  const char* const said = std::getenv("POWERHOUSE_CUDA_GRAPHS");
  return ops::DeviceGraph::available(device) && (said == nullptr || std::string_view(said) != "0");
}

bool DecodeGraphs::takes(const std::shared_ptr<const AdapterTable>& adapters) {
  if (adapters != judged_) {
    judged_ = adapters;
    judgement_ = adapters == nullptr || !adapters->asks_host();
  }
  return judgement_;
}

std::int64_t DecodeGraphs::room_for(std::int64_t pages) {
  return std::max(kFirstPages, static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(pages))));
}

at::Tensor DecodeGraphs::step(const Shape& shape, ops::DeviceBundle& inputs, const std::function<at::Tensor()>& pass) {
  auto entry = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& one) { return one.shape == shape; });
  if (entry == entries_.end()) {
    inputs.send(device_);
    at::Tensor result = pass();
    // Weights that lie elsewhere by now, and adapters that are not in use, are not kept for the sake of graphs.
    entries_.remove_if([&](const Entry& one) {
      return one.shape.addresses != shape.addresses || one.shape.adapters != shape.adapters;
    });
    entries_.push_front({.shape = shape, .inputs = inputs.place()});
    if (entries_.size() > kMostGraphs) entries_.pop_back();
    return result;
  }
  entries_.splice(entries_.begin(), entries_, entry);
  inputs.send_to(entry->inputs);
  if (entry->graph == nullptr) {
    try {
      entry->graph = std::make_unique<ops::DeviceGraph>(device_, [&] { entry->result = pass(); });
    } catch (...) {
      entries_.pop_front();
      throw;
    }
  }
  entry->graph->replay();
  return entry->result;
}

std::uint64_t addresses_of(const DecoderWeights& weights, const AdapterTable* adapters) {
  std::uint64_t sum = 0xCBF29CE484222325u;  // FNV-1a over words
  const auto mix = [&](const at::Tensor& tensor) {
    if (!tensor.defined()) return;
    for (const std::uint64_t word :
         {static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(tensor.const_data_ptr())),
          static_cast<std::uint64_t>(tensor.scalar_type()), static_cast<std::uint64_t>(tensor.numel())}) {
      sum = (sum ^ word) * 0x100000001B3u;
    }
  };
  for (const ParameterSpec& spec : weights.specs()) {
    const Weight& weight = weights.weight(spec);
    mix(weight.device_blocks());
    if (const auto* const repacked = weight.repacked()) {
      mix(repacked->levels);
      mix(repacked->order);
    }
    if (weight.dense_bytes() > 0) mix(weight.tensor());
  }
  if (adapters != nullptr) adapters->visit_tensors(mix);
  return sum;
}

}  // namespace powerhouse
