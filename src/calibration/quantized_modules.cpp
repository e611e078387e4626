#include "calibration/quantized_modules.h"

#include <algorithm>

#include "powerhouse/error.h"

namespace powerhouse {
namespace {

constexpr std::string_view kSuffix = ".weight";

bool is_experts(Role role) { return role == Role::experts_gate_up || role == Role::experts_down; }

// The spelling in which each expert's matrices have tensors of their own.
const Assembly& per_expert(const ParameterSpec& spec) {
  for (const Assembly& assembly : spec.hf) {
    if (assembly.shape.size() == 2 && assembly.place && assembly.names.front().ends_with(kSuffix)) return assembly;
  }
  throw Error(ErrorKind::unsupported, "experts in one tensor have no form in packed folders", {.field = spec.name});
}

std::vector<LinearTarget> expert_targets(const ParameterSpec& spec) {
  const Assembly& assembly = per_expert(spec);
  const std::int64_t experts = spec.shape.front();
  const std::int64_t rows = spec.shape[spec.transposed ? 2 : 1];
  std::vector<LinearTarget> targets;
  for (std::int64_t expert = 0; expert < experts; ++expert) {
    LinearTarget target{.spec = &spec, .expert = expert};
    std::vector<std::int64_t> tensors;
    for (std::int64_t row = 0; row < rows; ++row) {
      const StoredRow place = assembly.place(expert * rows + row);
      auto found = std::find(tensors.begin(), tensors.end(), place.tensor);
      if (found == tensors.end()) {
        const std::string& name = assembly.names[static_cast<std::size_t>(place.tensor)];
        target.modules.push_back({.name = name.substr(0, name.size() - kSuffix.size()),
                                  .rows = std::vector<std::int64_t>(static_cast<std::size_t>(assembly.shape[0]))});
        tensors.push_back(place.tensor);
        found = tensors.end() - 1;
      }
      target.modules[static_cast<std::size_t>(found - tensors.begin())].rows[static_cast<std::size_t>(place.row)] = row;
    }
    targets.push_back(std::move(target));
  }
  return targets;
}

}  // namespace

std::string LinearTarget::name() const {
  std::string text = modules.front().name;
  for (std::size_t i = 1; i < modules.size(); ++i) {
    text += '+';
    text += modules[i].name.substr(modules[i].name.rfind('.') + 1);
  }
  return text;
}

at::Tensor LinearTarget::matrix(const DecoderWeights& weights) const {
  const at::Tensor whole = weights.weight(*spec).matrix();
  return expert < 0 ? whole : whole.select(0, expert);
}

std::vector<LinearTarget> linear_targets(const DecoderWeights& weights, std::int64_t layer) {
  std::vector<LinearTarget> targets;
  for (const ParameterSpec& spec : weights.specs()) {
    if (spec.layer != layer || spec.is_bias) continue;
    if (is_experts(spec.role)) {
      for (LinearTarget& target : expert_targets(spec)) targets.push_back(std::move(target));
    } else if (is_linear(spec.role)) {
      const std::string& name = spec.hf.front().names.front();
      targets.push_back({.spec = &spec, .modules = {{.name = name.substr(0, name.size() - kSuffix.size())}}});
    }
  }
  return targets;
}

GroupedCodes select_rows(const GroupedCodes& matrix, const std::vector<std::int64_t>& rows) {
  if (rows.empty()) return matrix;
  GroupedCodes out{.bits = matrix.bits,
                   .outputs = static_cast<std::int64_t>(rows.size()),
                   .inputs = matrix.inputs,
                   .group = matrix.group,
                   .group_of = matrix.group_of};
  const auto take = [&](const auto& from, auto& to, std::int64_t width) {
    to.reserve(rows.size() * static_cast<std::size_t>(width));
    for (const std::int64_t row : rows)
      to.insert(to.end(), from.begin() + row * width, from.begin() + (row + 1) * width);
  };
  take(matrix.codes, out.codes, matrix.inputs);
  take(matrix.scales, out.scales, matrix.groups());
  take(matrix.zeros, out.zeros, matrix.groups());
  return out;
}

}  // namespace powerhouse
