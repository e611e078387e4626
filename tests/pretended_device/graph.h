// CUDA graphs of the pretended device: while one is recorded, whatever the device does (operations of LibTorch's,
// launches) is noted with its addresses. Nothing of it has happened when recording ends; a replay does it again.
//
// | | what it finds |
// |---|---|
// | recording refuses copies between host and device, and reading a number | a synchronization, an upload |
// | behind recording all memory is as before, and the graph's own is NaN, as it is before each replay | what was
// computed while recording, or by the replay before | | what is freed while there are graphs becomes NaN, and nobody
// gets it | an address that nobody keeps | | tensors of a graph's memory that outlive it are counted | what is made
// once, but was made while recording |
#pragma once

#include <functional>

#include "kernels/cuda/graph.h"

namespace powerhouse::pretended_device {

/// Whether this thread records.
bool capturing();
/// Notes what the device has just done, where this thread records.
void note(const std::function<void()>& work);
/// c10::Error with CUDA's words where this thread records.
void refuse_while_capturing(const char* what);

const char* graph_begin(int device, cuda::Graph*& graph);
const char* graph_end(cuda::Graph* graph);
const char* graph_replay(cuda::Graph* graph);
void graph_drop(cuda::Graph* graph);

/// How many graphs have been recorded to their end, and how many replays there were, in this process.
int captures();
int replays();
/// Allocations that were still in use when the graph that they belonged to ended.
int outlived();

}  // namespace powerhouse::pretended_device
