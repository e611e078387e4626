// The checks that methods share, and the way from options to a method.
#include "training/optimizer_method.h"

#include <cmath>

#include "powerhouse/error.h"

namespace powerhouse {
namespace {

[[noreturn]] void refuse(std::string_view option, double value, const char* expected) {
  throw Error(ErrorKind::range, "optimizer option out of range",
              {.field = std::string(option), .expected = expected, .found = std::to_string(value)});
}

}  // namespace

void check_not_negative(std::string_view option, double value) {
  if (!(value >= 0) || !std::isfinite(value)) refuse(option, value, "a number of at least 0");
}

void check_beta(std::string_view option, double value) {
  if (!(value >= 0 && value < 1)) refuse(option, value, "at least 0 and below 1");
}

void OptimizerMethod::update(ParameterSlot& slot, const StepRate&) const {
  throw Error(ErrorKind::usage, "this optimizer has no step of whole tensors", {.field = slot.name});
}

std::unique_ptr<OptimizerMethod> make_method(const OptimizerOptions& options) {
  return std::visit([](const auto& method) { return make_method(method); }, options);
}

}  // namespace powerhouse
