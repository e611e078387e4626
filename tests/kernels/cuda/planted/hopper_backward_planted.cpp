// Runs the backward kernels for Hopper with the fault that it is asked for, <number> <found> <head size>. It passes if
// the checks find the fault, each in the way that is expected of it: a report of the shim or a wrong gradient.
#include "cuda_on_host/planted.h"
#include "kernels/cuda/flash_backward_case.h"

namespace powerhouse::testing {
namespace {

void look_for_fault(int head_dim, cuda_on_host::PlantedVerdict& found) {
  std::vector<FlashCase> cases = flash_edge_cases(head_dim);
  cases.push_back({.heads = 4,
                   .kv_heads = 2,
                   .head_dim = head_dim,
                   .queries = {90, 70},
                   .keys = {300, 140},
                   .packed = true,
                   .right = 0});
  cases.push_back({.head_dim = head_dim, .queries = {128}, .keys = {1}, .scale = 6.0f});  // far below zero
  cases.push_back({.heads = 2, .head_dim = head_dim, .queries = {200}, .keys = {300}, .left = 90, .slices = 2});
  for (const FlashCase& one : cases) {
    if (one.modified()) continue;
    FlashBackwardProblem problem(one, 7);
    for (const auto order : cuda_on_host::kOrders) {
      const std::string report = problem.run(order).text();
      found.add(report == "clean" ? problem.wrong() : report);
    }
  }
}

}  // namespace
}  // namespace powerhouse::testing

int main(int, char** arguments) {
  powerhouse::cuda_on_host::PlantedVerdict found(arguments[1], arguments[2]);
  powerhouse::testing::look_for_fault(std::stoi(arguments[3]), found);
  return found.code();
}
