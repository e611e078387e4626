// CUDA graphs by LibTorch's own class, which gives each a pool of memory. A part of libpowerhouse_cuda.so: it finds
// what it needs in libtorch_cuda.so, which is open by then (library.cpp).
#include "kernels/cuda/graph.h"

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

namespace powerhouse::cuda {

struct Graph {
  c10::DeviceIndex device = 0;
  decltype(at::cuda::graph_pool_handle()) pool{};
  at::cuda::CUDAGraph graph{};
  std::optional<c10::cuda::CUDAStreamGuard> stream{};  // while it is captured: not the default one, which can't be
};

namespace {

template <typename Body>
const char* told(const Body& body) {
  thread_local std::string words;
  try {
    body();
    return nullptr;
  } catch (const c10::Error& error) {
    words = error.what_without_backtrace();
  } catch (const std::exception& error) {
    words = error.what();
  }
  words.resize(std::min(words.size(), words.find('\n')));
  return words.c_str();
}

}  // namespace

const char* graph_begin(int device, Graph*& out) {
  return told([&] {
    auto graph = std::make_unique<Graph>();
    graph->device = static_cast<c10::DeviceIndex>(device);
    graph->pool = at::cuda::graph_pool_handle();
    graph->stream.emplace(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, graph->device));
    // Other threads may do what they like.
    graph->graph.capture_begin(graph->pool, cudaStreamCaptureModeThreadLocal);
    out = graph.release();
  });
}

const char* graph_end(Graph* graph) {
  const char* const failed = told([&] { graph->graph.capture_end(); });
  graph->stream.reset();
  if (failed == nullptr) return nullptr;
  // LibTorch may have left off before it took its allocator back; where it has not, this is refused.
  const std::string words = failed;
  told([&] { c10::cuda::CUDACachingAllocator::endAllocateToPool(graph->device, graph->pool); });
  return told([&] { throw std::runtime_error(words); });
}

const char* graph_replay(Graph* graph) {
  return told([&] {
    const c10::cuda::CUDAGuard device(graph->device);
    graph->graph.replay();
  });
}

void graph_drop(Graph* graph) {
  told([&] { graph->graph.reset(); });
  delete graph;
}

}  // namespace powerhouse::cuda
