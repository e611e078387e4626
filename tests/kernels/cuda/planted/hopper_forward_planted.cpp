// Runs Hopper's forward kernel with the fault that it is asked for, <number> <found>, as flash_forward_planted.cpp
// does.
#include "cuda_on_host/planted.h"
#include "kernels/cuda/flash_attention/launchers.h"
#include "kernels/cuda/flash_forward_case.h"
#include "kernels/cuda/hopper_forward_run.h"

namespace powerhouse::testing {
namespace {

using cuda_on_host::LaunchReport;
using cuda_on_host::Order;

void look_for_fault(cuda_on_host::PlantedVerdict& found) {
  std::vector<FlashCase> cases = flash_edge_cases(64);
  cases.push_back({.head_dim = 40, .queries = {20}, .keys = {70}});
  cases.push_back({.heads = 2, .queries = {450}, .keys = {520}, .right = 0});
  cases.push_back({.queries = {200, 500}, .keys = {200, 500}, .packed = true, .left = 100, .right = 0});
  for (const FlashCase& one : cases) {
    FlashProblem problem(one, 7);
    if (!cuda::hopper_fits(problem.params())) continue;
    for (const Order order : cuda_on_host::kOrders) {
      for (const FlashProblem::Run run : {run_hopper_forward<64, false>, run_hopper_forward<64, true>}) {
        const LaunchReport report = problem.run({.order = order}, run);
        found.add(report.fault ? report.text() : problem.wrong());
      }
    }
  }
  FlashProblem aligned({.queries = {192}, .keys = {128}}, 7, false);
  for (const auto& row : aligned.run({.traffic_block = 0}, run_hopper_forward<64, false>).traffic) {
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
