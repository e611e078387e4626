// Runs the forward kernel with the fault that it is asked for, <number> <found>. It passes if the checks find the
// fault, each in the way that is expected of it: a report of the shim, a wrong result, or traffic that is not ideal.
#include "cuda_on_host/planted.h"
#include "kernels/cuda/flash_forward_case.h"
#include "kernels/cuda/flash_forward_launch.h"

namespace powerhouse::cuda {
FlashForwardLaunch flash_forward_launch(int, Element type, bool modified) {
  return flash_forward_launch<64>(type, modified);
}
}  // namespace powerhouse::cuda

namespace powerhouse::testing {
namespace {

using cuda_on_host::LaunchReport;
using cuda_on_host::Order;

void look_for_fault(cuda_on_host::PlantedVerdict& found) {
  std::vector<FlashCase> cases = flash_edge_cases(64);
  cases.push_back({.head_dim = 40, .queries = {20}, .keys = {70}});
  for (const FlashCase& one : cases) {
    FlashProblem problem(one, 7);
    for (const Order order : cuda_on_host::kOrders) {
      const LaunchReport report = problem.run({.order = order});
      found.add(report.fault ? report.text() : problem.wrong());
    }
  }
  FlashProblem aligned({.queries = {128}, .keys = {128}}, 7, false);
  for (const auto& row : aligned.run({.traffic_block = 0}).traffic) {
    if (row.cost.paid != row.cost.ideal) found.add("traffic: " + cuda_on_host::traffic_table({row}));
  }
}

}  // namespace
}  // namespace powerhouse::testing

int main(int, char** arguments) {
  powerhouse::cuda_on_host::PlantedVerdict found(arguments[1], arguments[2]);
  powerhouse::testing::look_for_fault(found);
  return found.code();
}
