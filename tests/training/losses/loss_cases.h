// Cases of tests/oracles/losses: tensors from JSON, options by name, and comparisons to 1e-6 in float64.
#pragma once

#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ops/tensors.h"
#include "powerhouse/losses.h"
#include "support/json.h"

namespace powerhouse::testing {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

inline std::vector<double> doubles(const Json& array) {
  std::vector<double> values;
  for (const Json& value : array.as_array()) values.push_back(value.is_null() ? std::nan("") : value.as_double());
  return values;
}

inline at::Tensor tensor(std::vector<double> values) {
  at::Tensor result = empty_tensor({static_cast<std::int64_t>(values.size())}, at::kDouble);
  std::copy(values.begin(), values.end(), result.data_ptr<double>());
  return result;
}
inline at::Tensor json_tensor(const Json& array) { return tensor(doubles(array)); }
inline at::Tensor leaf(const Json& array) { return json_tensor(array).set_requires_grad(true); }

inline std::vector<std::int64_t> offsets(const Json& counts) {
  std::vector<std::int64_t> result{0};
  for (const Json& count : counts.as_array()) result.push_back(result.back() + count.as_integer());
  return result;
}

/// Each |found - expected| <= 1e-6 max(|expected|, 1).
inline void expect_close(const at::Tensor& found, const std::vector<double>& expected, const std::string& what) {
  ASSERT_TRUE(found.defined()) << what;
  ASSERT_EQ(found.scalar_type(), at::kDouble) << what;
  const at::Tensor flat = found.detach().reshape({-1}).contiguous();
  ASSERT_EQ(flat.numel(), static_cast<std::int64_t>(expected.size())) << what;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double value = flat.const_data_ptr<double>()[i];
    ASSERT_NEAR(value, expected[i], 1e-6 * std::max(1.0, std::abs(expected[i]))) << what << "[" << i << "]";
  }
}
inline void expect_close(const at::Tensor& found, const Json& expected, const std::string& what) {
  expect_close(found, doubles(expected), what);
}

/// The expected metrics are there, with their values, and no other but those of `more`.
inline void expect_metrics(const Metrics& found, const Json& expected, const std::set<std::string>& more = {}) {
  std::map<std::string, double> values(found.begin(), found.end());
  ASSERT_EQ(values.size(), found.size()) << "a metric twice";
  for (const auto& [name, value] : expected.as_object()) {
    ASSERT_TRUE(values.contains(name)) << name;
    const double wanted = value.as_double();
    EXPECT_NEAR(values.at(name), wanted, 1e-6 * std::max(1.0, std::abs(wanted))) << name;
    values.erase(name);
  }
  for (const auto& [name, value] : values) EXPECT_TRUE(more.contains(name)) << "an unexpected metric " << name;
}

inline void expect_loss(const LossResult& result, const Json& test) {
  ASSERT_EQ(result.loss.dim(), 0);
  expect_close(result.loss, std::vector{test.at("loss").as_double()}, "loss");
}

inline void expect_gradient(const at::Tensor& of, const Json& expected, const std::string& what) {
  expect_close(of.grad(), expected, what);
}

inline double metric(const Metrics& metrics, std::string_view name) {
  for (const auto& [key, value] : metrics) {
    if (key == name) return value;
  }
  ADD_FAILURE() << "no metric " << name;
  return std::nan("");
}

/// Options of a case by name; every one must be read.
class OptionReader {
 public:
  explicit OptionReader(const Json& test) : options_(test.at("options")) {}
  ~OptionReader() { EXPECT_EQ(used_, options_.as_object().size()) << "an option that the test does not read"; }

  const Json* find(std::string_view name) {
    const Json* value = options_.as_object().find(name);
    if (value != nullptr) ++used_;
    return value;
  }
  template <typename Field>
  void set(Field& field, std::string_view name) {
    const Json* value = find(name);
    if (value == nullptr) return;
    if constexpr (std::is_same_v<Field, bool>) {
      field = value->as_bool();
    } else if constexpr (std::is_integral_v<Field>) {
      field = static_cast<Field>(value->as_integer());
    } else if constexpr (std::is_same_v<Field, std::optional<double>>) {
      field = value->is_null() ? std::optional<double>() : value->as_double();
    } else if constexpr (std::is_same_v<Field, std::vector<double>>) {
      field = doubles(*value);
    } else {
      field = value->as_double();
    }
  }

 private:
  const Json& options_;
  std::size_t used_ = 0;
};

struct LossCase {
  Json test, inputs;  ///< `inputs` of the set that the case names
  std::string name() const { return test.at("name").as_string(); }
};

/// The cases of a file, those of a method if the file has several.
inline std::vector<LossCase> loss_cases(const std::string& file, std::string_view method = {}) {
  const Json json = Json::parse_file(std::string(POWERHOUSE_FIXTURES) + "/training/losses/" + file);
  std::vector<LossCase> cases;
  for (const Json& test : json.at("cases").as_array()) {
    if (!method.empty() && test.string_or("method", "") != method) continue;
    const Json* inputs = test.get("inputs");
    cases.push_back({test, inputs == nullptr ? json.at("inputs") : json.at("inputs").at(inputs->as_string())});
  }
  return cases;
}

inline std::string case_name(const ::testing::TestParamInfo<LossCase>& info) { return info.param.name(); }
inline void PrintTo(const LossCase& test, std::ostream* out) { *out << test.name(); }

}  // namespace powerhouse::testing
