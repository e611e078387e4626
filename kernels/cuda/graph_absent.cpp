// In place of src/ops/cuda/graph.cpp where the kernels are built without LibTorch.
#include "kernels/cuda/graph.h"

namespace powerhouse::cuda {
namespace {

constexpr const char* kAbsent = "this build of the CUDA kernels has no graphs: it was made without LibTorch";

}  // namespace

const char* graph_begin(int /*device*/, Graph*& /*graph*/) { return kAbsent; }
const char* graph_end(Graph* /*graph*/) { return kAbsent; }
const char* graph_replay(Graph* /*graph*/) { return kAbsent; }
void graph_drop(Graph* /*graph*/) {}

}  // namespace powerhouse::cuda
