// Runs products with the fault that it is asked for, <number> <found> <kernels>. It passes if the checks find the
// fault, each in the way that is expected of it: a report of the shim, a wrong result, or traffic that is not ideal.
#include "cuda_on_host/planted.h"
#include "kernels/cuda_products/product_case.h"

namespace powerhouse::testing {
namespace {

using cuda::PackedLayout;
using cuda_on_host::Order;

using cuda_on_host::kOrders;

template <typename Problem>
void look_at(Problem& problem, cuda_on_host::PlantedVerdict& found) {
  for (const Order order : kOrders) {
    const std::string shim = problem.run(order, 0);
    found.add(shim == "clean" ? problem.wrong() : shim);
  }
}

void look_at_blocks(cuda_on_host::PlantedVerdict& found) {
  const BlocksCase blocks[] = {{.rows = 17, .blocks = 13, .outputs = 33, .bias = true},
                               {.rows = 18, .blocks = 40, .outputs = 5, .multiprocessors = 9, .bias = true},
                               {.format = BlockFormat::q6_k, .rows = 33, .blocks = 3, .outputs = 130},
                               {.rows = 64, .blocks = 64, .outputs = 128, .gaps = false}};
  for (const BlocksCase& one : blocks) {
    BlocksProblem problem(one, 7);
    look_at(problem, found);
    if (one.gaps || problem.reports.empty()) continue;
    found.add(traffic_complaint(problem.reports[0]));
  }
}

void look_at_repacked(cuda_on_host::PlantedVerdict& found) {
  const RepackedCase repacked[] = {
      {.group = 32, .inputs = 288, .outputs = 40, .rows = 3, .zero_offset = 1},
      {.bits = 8, .group = 64, .inputs = 640, .outputs = 24, .rows = 17, .type = Element::f16, .bias = true},
      {.group = 128, .inputs = 2048, .outputs = 8, .rows = 2, .ordered = true, .multiprocessors = 9, .bias = true},
      {.layout = PackedLayout::awq, .group = 64, .inputs = 160, .outputs = 16, .rows = 9},
      {.group = 128, .inputs = 1024, .outputs = 128, .rows = 64, .gaps = false}};
  for (const RepackedCase& one : repacked) {
    RepackedProblem problem(one, 7);
    found.add(problem.repack(Order::random) == "clean" ? "" : "not repacked");
    look_at(problem, found);
    if (!one.gaps) found.add(traffic_complaint(problem.reports.at(0)));
  }
}

}  // namespace
}  // namespace powerhouse::testing

int main(int, char** arguments) {
  powerhouse::cuda_on_host::PlantedVerdict found(arguments[1], arguments[2]);
  if (std::string(arguments[3]) == "blocks") {
    powerhouse::testing::look_at_blocks(found);
  } else {
    powerhouse::testing::look_at_repacked(found);
  }
  return found.code();
}
