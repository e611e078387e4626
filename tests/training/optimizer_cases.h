// The cases of tests/oracles/optimizers.py: the numbers that both sides make, and options from their description.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "ops/tensors.h"
#include "powerhouse/optimizer.h"
#include "powerhouse/tensor_file.h"
#include "support/json.h"

namespace powerhouse::testing {

inline std::uint32_t mix(std::uint32_t h) {
  h = (h ^ (h >> 15)) * 0x2C1B3C6Du;
  h = (h ^ (h >> 12)) * 0x297A2D39u;
  return h ^ (h >> 15);
}

/// Multiples of 2^-23 in [-1, 1), times 2^-k, 0 <= k < spread: exact in float32, then rounded to `type`.
inline at::Tensor numbers(std::uint64_t seed, at::IntArrayRef sizes, std::uint32_t spread, at::ScalarType type) {
  at::Tensor tensor = empty_tensor(sizes, at::kFloat);
  float* const data = tensor.data_ptr<float>();
  for (std::int64_t i = 0; i < tensor.numel(); ++i) {
    const std::uint32_t index = static_cast<std::uint32_t>(i) + static_cast<std::uint32_t>(seed * 1000003);
    const std::uint32_t h = mix(index * 2654435761u);
    const auto value = static_cast<float>(static_cast<std::int32_t>(h >> 8) - (1 << 23)) / 8388608.0f;
    data[i] = std::ldexp(value, -static_cast<int>(mix(h + 1) % spread));
  }
  return tensor.to(type);
}

struct OptimizerCase {
  std::string name, method;
  Json options;
  std::vector<std::pair<std::string, std::vector<std::int64_t>>> shapes;
  at::ScalarType dtype;
  double clip;
  bool master;
  std::vector<double> norms;

  std::vector<NamedTensor> parameters() const {
    std::vector<NamedTensor> result;
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      result.emplace_back(shapes[i].first, numbers(7 + i, shapes[i].second, 1, dtype).set_requires_grad(true));
    }
    return result;
  }
  void set_gradients(std::vector<NamedTensor>& parameters, std::uint64_t step) const {
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      parameters[i].second.mutable_grad() = numbers(1000 * (step + 1) + i, shapes[i].second, 12, dtype);
    }
  }
};

inline std::vector<OptimizerCase> optimizer_cases() {
  const Json file = Json::parse_file(std::string(POWERHOUSE_FIXTURES) + "/training/optimizers.json");
  std::vector<OptimizerCase> cases;
  for (const Json& item : file.at("cases").as_array()) {
    const std::string& dtype = item.at("dtype").as_string();
    OptimizerCase test{.name = item.at("name").as_string(),
                       .method = item.at("method").as_string(),
                       .options = item.at("options"),
                       .dtype = dtype == "float32"    ? at::kFloat
                                : dtype == "bfloat16" ? at::kBFloat16
                                                      : at::kHalf,
                       .clip = item.at("clip").as_double(),
                       .master = item.at("master").as_bool()};
    for (const auto& [name, sizes] : item.at("shapes").as_object()) {
      test.shapes.emplace_back(name, std::vector<std::int64_t>{});
      for (const Json& size : sizes.as_array()) test.shapes.back().second.push_back(size.as_integer());
    }
    for (const Json& norm : item.at("norms").as_array()) test.norms.push_back(norm.as_double());
    cases.push_back(std::move(test));
  }
  return cases;
}

/// The option structs hold these fields, each under its own name; every key of the description must be one.
inline OptimizerOptions options_of(const OptimizerCase& test) {
  const Json::Array none;
  std::size_t used = 0;
  const auto set = [&](auto& field, std::string_view key) {
    const Json* value = test.options.as_object().find(key);
    if (value == nullptr) return;
    ++used;
    using Field = std::remove_reference_t<decltype(field)>;
    if constexpr (std::is_same_v<Field, bool>) {
      field = value->as_bool();
    } else if constexpr (std::is_same_v<Field, std::string>) {
      field = value->as_string();
    } else if constexpr (std::is_integral_v<Field>) {
      field = static_cast<Field>(value->as_integer());
    } else {
      field = value->as_double();
    }
  };
  const auto betas = [&](auto& options) {
    set(options.lr, "lr");
    set(options.weight_decay, "weight_decay");
    set(options.beta1, "beta1");
    set(options.beta2, "beta2");
  };
  OptimizerOptions result;
  if (test.method == "sgd") {
    SgdOptions o;
    set(o.lr, "lr"), set(o.momentum, "momentum"), set(o.dampening, "dampening");
    set(o.weight_decay, "weight_decay"), set(o.nesterov, "nesterov");
    result = o;
  } else if (test.method == "adamw") {
    AdamWOptions o;
    betas(o), set(o.eps, "eps");
    result = o;
  } else if (test.method == "adamw_8bit") {
    AdamW8bitOptions o;
    betas(o), set(o.eps, "eps");
    result = o;
  } else if (test.method == "lion") {
    LionOptions o;
    betas(o);
    result = o;
  } else if (test.method == "adagrad") {
    AdagradOptions o;
    set(o.lr, "lr"), set(o.lr_decay, "lr_decay"), set(o.weight_decay, "weight_decay"), set(o.eps, "eps");
    set(o.initial_accumulator_value, "initial_accumulator_value");
    result = o;
  } else if (test.method == "rmsprop") {
    RmspropOptions o;
    set(o.lr, "lr"), set(o.alpha, "alpha"), set(o.weight_decay, "weight_decay"), set(o.momentum, "momentum");
    result = o;
  } else if (test.method == "adafactor") {
    AdafactorOptions o;
    set(o.lr, "lr"), set(o.beta1, "beta1"), set(o.weight_decay, "weight_decay"), set(o.eps1, "eps1");
    set(o.scale_parameter, "scale_parameter"), set(o.relative_step, "relative_step");
    set(o.warmup_init, "warmup_init"), set(o.clip_threshold, "clip_threshold");
    result = o;
  } else {
    MuonOptions o;
    set(o.lr, "lr"), set(o.weight_decay, "weight_decay"), set(o.momentum, "momentum"), set(o.nesterov, "nesterov");
    set(o.ns_steps, "ns_steps"), set(o.adjust_lr_fn, "adjust_lr_fn");
    result = o;
  }
  EXPECT_EQ(used, test.options.as_object().size()) << test.name << " has an option that the test does not read";
  return result;
}

inline std::map<std::string, at::Tensor> by_name(std::vector<NamedTensor> tensors) {
  return {tensors.begin(), tensors.end()};
}

inline bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() &&
         std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0;
}

}  // namespace powerhouse::testing
