// A program whose products have one fault planted in them. It passes if the checks find the fault, each time in the way
// that is expected of it: a report of the shim, a wrong result, or traffic that is not ideal.
#include "cuda_on_host/planted.h"
#include "kernels/cuda_products/product_case.h"

namespace powerhouse::testing {
namespace {

using cuda::PackedLayout;
using cuda_on_host::Order;

using cuda_on_host::kOrders;

template <typename Problem>
void look_at(Problem& problem, std::set<std::string>& found) {
  for (const Order order : kOrders) {
    const std::string shim = problem.run(order, 0);
    const std::string what = shim == "clean" ? problem.wrong() : shim;
    if (shim == "no kernel") return;
    if (!what.empty()) found.insert(what);
  }
}

std::set<std::string> what_is_found() {
  std::set<std::string> found;
  const BlocksCase blocks[] = {{.rows = 17, .blocks = 13, .outputs = 33, .bias = true},
                               {.rows = 10, .blocks = 40, .outputs = 5, .multiprocessors = 9, .bias = true},
                               {.format = BlockFormat::q6_k, .rows = 33, .blocks = 3, .outputs = 130},
                               {.rows = 64, .blocks = 64, .outputs = 128, .gaps = false}};
  for (const BlocksCase& one : blocks) {
    BlocksProblem problem(one, 7);
    look_at(problem, found);
    if (one.gaps || problem.reports.empty()) continue;
    found.insert(traffic_complaint(problem.reports[0]));
  }
  const RepackedCase repacked[] = {
      {.group = 32, .inputs = 288, .outputs = 40, .rows = 3, .zero_offset = 1},
      {.bits = 8, .group = 64, .inputs = 640, .outputs = 24, .rows = 17, .type = Element::f16, .bias = true},
      {.group = 128, .inputs = 2048, .outputs = 8, .rows = 2, .ordered = true, .multiprocessors = 9, .bias = true},
      {.layout = PackedLayout::awq, .group = 64, .inputs = 160, .outputs = 16, .rows = 9},
      {.group = 128, .inputs = 1024, .outputs = 128, .rows = 64, .gaps = false}};
  for (const RepackedCase& one : repacked) {
    RepackedProblem problem(one, 7);
    if (problem.repack(Order::random) == "no kernel") break;
    look_at(problem, found);
    if (!one.gaps) found.insert(traffic_complaint(problem.reports.at(0)));
  }
  return found;
}

}  // namespace
}  // namespace powerhouse::testing

int main(int, char** arguments) {
  return powerhouse::cuda_on_host::planted_verdict(powerhouse::testing::what_is_found(), arguments[1]);
}
