// Runs the backward kernels with the fault that it is asked for, <number> <found> <head size>. It passes if the checks
// find the fault, each in the way that is expected of it: a report of the shim, a wrong gradient, or traffic that is
// not ideal.
#include "cuda_on_host/planted.h"
#include "kernels/cuda/flash_backward_case.h"
#include "kernels/cuda/flash_backward_launch.h"

void powerhouse::cuda::flash_backward_on_host(const testing::HostLauncher& launcher,
                                              const FlashBackwardParams& params) {
  if (params.forward.head_dim <= 64) return flash_backward_on_host<64>(launcher, params);
  if (params.forward.head_dim <= 128) return flash_backward_on_host<128>(launcher, params);
  flash_backward_on_host<256>(launcher, params);
}

namespace powerhouse::testing {
namespace {

using cuda_on_host::Order;

void look_for_fault(int head_dim, cuda_on_host::PlantedVerdict& found) {
  std::vector<FlashCase> cases = flash_edge_cases(head_dim);
  cases.push_back(kFarBelowZero);
  cases.back().head_dim = head_dim;
  for (const FlashCase& one : cases) {
    FlashBackwardProblem problem(one, 7);
    for (const Order order : cuda_on_host::kOrders) {
      const std::string report = problem.run(order).text();
      found.add(report == "clean" ? problem.wrong() : report);
    }
  }
  FlashBackwardProblem aligned({.head_dim = head_dim, .queries = {128}, .keys = {128}}, 7, false);
  for (const auto& report : aligned.run(Order::forward, 0).reports) {
    for (const auto& row : report.traffic) {
      if (row.cost.paid != row.cost.ideal) found.add("traffic: " + cuda_on_host::traffic_table({row}));
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
