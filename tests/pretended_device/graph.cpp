#include "pretended_device/graph.h"

#include <c10/util/Exception.h>

#include <string>
#include <vector>

#include "pretended_device/memory.h"

namespace powerhouse::cuda {

struct Graph {
  std::vector<std::function<void()>> work;
  pretended_device::Memory::Pool pool;
  pretended_device::Memory::Contents before;
};

}  // namespace powerhouse::cuda

namespace powerhouse::pretended_device {
namespace {

thread_local cuda::Graph* current = nullptr;
thread_local std::string words;
int capture_count = 0, replay_count = 0, outlived_count = 0;

}  // namespace

bool capturing() { return current != nullptr; }

void note(const std::function<void()>& work) {
  if (current != nullptr) current->work.push_back(work);
}

void refuse_while_capturing(const char* what) {
  TORCH_CHECK(current == nullptr, "operation not permitted when stream is capturing: ", what);
}

const char* graph_begin(int /*device*/, cuda::Graph*& graph) {
  if (current != nullptr) return "a graph is being recorded already";
  graph = new cuda::Graph();
  graph->before = Memory::get().contents();
  Memory::get().begin_pool(graph->pool);
  current = graph;
  return nullptr;
}

const char* graph_end(cuda::Graph* graph) {
  if (current != graph) return "this graph is not being recorded";
  current = nullptr;
  Memory::get().end_pool();
  Memory::get().restore(graph->before);
  Memory::get().spoil(graph->pool);
  graph->before.clear();
  ++capture_count;
  return nullptr;
}

const char* graph_replay(cuda::Graph* graph) {
  Memory::get().spoil(graph->pool);
  ++replay_count;
  try {
    for (const auto& work : graph->work) work();
    return nullptr;
  } catch (const std::exception& error) {
    words = error.what();
    return words.c_str();
  }
}

void graph_drop(cuda::Graph* graph) {
  outlived_count += Memory::get().drop_pool(graph->pool);
  delete graph;
}

int captures() { return capture_count; }
int replays() { return replay_count; }
int outlived() { return outlived_count; }

}  // namespace powerhouse::pretended_device
