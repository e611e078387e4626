#include "cuda_on_host/named_float.h"

#include <cmath>
#include <stdexcept>
#include <unordered_map>
#include <vector>

#include "kernels/common/float16.h"

namespace powerhouse::cuda_on_host {
namespace {

struct Names {
  std::vector<float> values{0.0f};
  std::unordered_map<std::uint32_t, std::uint16_t> of{{0u, 0}};
};
Names& names() {
  static Names all;
  return all;
}

}  // namespace

float to_float(NamedFloat name) {
  return name.bits < names().values.size() ? names().values[name.bits] : std::nanf("");
}

void from_float(float value, NamedFloat& out) {
  Names& all = names();
  if (all.values.size() == 0xFFFF) throw std::length_error("more different numbers than an element can name");
  const auto [at, added] = all.of.try_emplace(float_bits(value), static_cast<std::uint16_t>(all.values.size()));
  if (added) all.values.push_back(value);
  out.bits = at->second;
}

void forget_named_floats() { names() = {}; }

}  // namespace powerhouse::cuda_on_host
