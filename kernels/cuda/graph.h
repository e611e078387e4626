// CUDA graphs of all that a thread queues, LibTorch's operations and our launches alike: members of the kernel table.
// What they allocate comes from LibTorch's pools for graphs, so what stands behind them is LibTorch's
// (src/ops/cuda/graph.cpp), in a library that the rest of Powerhouse can do without.
//
// Each returns null, or words that stay until the thread's next call.
#pragma once

namespace powerhouse::cuda {

struct Graph;

/// From here to graph_end() nothing that this thread queues on the device runs: it becomes the graph. Waiting for the
/// device, or copying between it and the host, is an error of LibTorch's or of CUDA's.
const char* graph_begin(int device, Graph*& graph);
/// Memory that was allocated meanwhile is the graph's, freed or not.
const char* graph_end(Graph* graph);
/// Queues all of it on the current stream, over the same addresses.
const char* graph_replay(Graph* graph);
/// Ends it in any state, its memory with it.
void graph_drop(Graph* graph);

}  // namespace powerhouse::cuda
