// A program whose backward kernels have one fault planted in them. It passes if the checks find the fault, each time in
// the way that is expected of it: a report of the shim, a wrong gradient, or traffic that is not ideal.
#include "kernels/cuda/planted/flash_backward_planted.h"
#include "cuda_on_host/planted.h"
#include "kernels/cuda/flash_backward_case.h"

namespace powerhouse::testing {
namespace {

using cuda_on_host::Order;

std::set<std::string> what_is_found() {
  std::set<std::string> found;
  std::vector<FlashCase> cases = flash_edge_cases(kPlantedHeadDim);
  cases.push_back(kFarBelowZero);
  cases.back().head_dim = kPlantedHeadDim;
  for (const FlashCase& one : cases) {
    FlashBackwardProblem problem(one, 7);
    for (const Order order : cuda_on_host::kOrders) {
      const std::string report = problem.run(order).text();
      const std::string what = report == "clean" ? problem.wrong() : report;
      if (!what.empty()) found.insert(what);
    }
  }
  FlashBackwardProblem aligned({.head_dim = kPlantedHeadDim, .queries = {128}, .keys = {128}}, 7, false);
  for (const auto& report : aligned.run(Order::forward, 0).reports) {
    for (const auto& row : report.traffic) {
      if (row.cost.paid != row.cost.ideal) found.insert("traffic: " + cuda_on_host::traffic_table({row}));
    }
  }
  return found;
}

}  // namespace
}  // namespace powerhouse::testing

int main(int, char** arguments) {
  return powerhouse::cuda_on_host::planted_verdict(powerhouse::testing::what_is_found(), arguments[1]);
}
