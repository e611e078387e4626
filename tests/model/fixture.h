// The model fixtures, and comparison of logits by the bar that they are held to.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "ops/tensors.h"
#include "powerhouse/causal_lm.h"
#include "powerhouse/tensor_file.h"

namespace powerhouse::testing {

inline std::string fixture(const std::string& name) { return std::string(POWERHOUSE_FIXTURES) + "/model/" + name; }

/// Named tensors of a safetensors file.
class Tensors {
 public:
  explicit Tensors(const std::string& path) : tensors_(load_safetensors(path)) {}
  bool has(const std::string& name) const { return find(name) != nullptr; }
  const at::Tensor& operator[](const std::string& name) const {
    const at::Tensor* found = find(name);
    if (found == nullptr) throw std::runtime_error("the fixture has no tensor " + name);
    return *found;
  }
  const std::vector<NamedTensor>& all() const { return tensors_; }

 private:
  const at::Tensor* find(const std::string& name) const {
    for (const auto& [key, tensor] : tensors_) {
      if (key == name) return &tensor;
    }
    return nullptr;
  }
  std::vector<NamedTensor> tensors_;
};

inline std::vector<std::int64_t> to_vector(const at::Tensor& ids) {
  const at::Tensor flat = ids.contiguous().view({-1});
  return {flat.const_data_ptr<std::int64_t>(), flat.const_data_ptr<std::int64_t>() + flat.numel()};
}

inline at::Tensor to_tensor(const std::vector<std::int64_t>& ids) {
  at::Tensor tensor = empty_tensor({1, static_cast<std::int64_t>(ids.size())}, at::kLong);
  std::copy(ids.begin(), ids.end(), tensor.data_ptr<std::int64_t>());
  return tensor;
}

/// The largest |a - b| of any row over the standard deviation of b's row.
inline double relative_error(const at::Tensor& a, const at::Tensor& b) {
  EXPECT_EQ(a.sizes(), b.sizes());
  const at::Tensor left = a.detach().to(at::kDouble).reshape({-1, a.size(-1)});
  const at::Tensor right = b.detach().to(at::kDouble).reshape({-1, b.size(-1)});
  return left.sub(right).abs().amax({-1}).div(right.std(-1).add(1e-30)).max().item<double>();
}

inline constexpr double kLogitsTolerance = 2e-4;  // of the logits' standard deviation

/// The real model's path, or empty where POWERHOUSE_TEST_MODEL is not set.
inline std::string real_model() {
  const char* path = std::getenv("POWERHOUSE_TEST_MODEL");
  return path == nullptr ? "" : path;
}

#define POWERHOUSE_NEEDS_REAL_MODEL()                                                                 \
  if (::powerhouse::testing::real_model().empty())                                                    \
  GTEST_SKIP() << "SKIPPED: POWERHOUSE_TEST_MODEL names no model (SmolLM2-135M-Instruct.Q4_1.gguf); " \
                  "scripts/test.sh fetches it"

}  // namespace powerhouse::testing
