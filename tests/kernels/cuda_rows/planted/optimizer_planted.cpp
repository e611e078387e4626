// Runs kernels with the fault that it is asked for, <number> <found> <of what>. It passes if the checks find the fault,
// each in the way that is expected of it: a report of the shim, or a wrong result.
#include "cuda_on_host/planted.h"
#include "kernels/cuda_rows/optimizer_case.h"

namespace powerhouse::testing {
namespace {

void look_at_updates(cuda_on_host::PlantedVerdict& found) {
  for (const RuleCase& one : rule_cases()) {
    for (const cuda_on_host::Order order : kSchedules) {
      found.add(wrong_update(one, Element::bf16, one.states == 1, {7, 4097, 0, 33}, order, 3));
    }
  }
}

void look_at_sums(cuda_on_host::PlantedVerdict& found) {
  for (const cuda_on_host::Order order : kSchedules) {
    std::vector<double> sums;
    found.add(wrong_sums(Element::bf16, {7, 4097, 0, 33}, order, 3, sums));
  }
}

void look_at_codes(cuda_on_host::PlantedVerdict& found) {
  for (const CodedCase& one : {CodedCase{300, false, true, false, 0}, {2048, true, true, false, 0.05f}}) {
    for (const cuda_on_host::Order order : kSchedules) {
      ComparedCodes codes;
      found.add(wrong_coded_update(one, Element::bf16, order, 3, codes));
    }
  }
}

}  // namespace
}  // namespace powerhouse::testing

int main(int, char** arguments) {
  powerhouse::cuda_on_host::PlantedVerdict found(arguments[1], arguments[2]);
  const std::string of = arguments[3];
  if (of == "updates") powerhouse::testing::look_at_updates(found);
  if (of == "sums") powerhouse::testing::look_at_sums(found);
  if (of == "codes") powerhouse::testing::look_at_codes(found);
  return found.code();
}
