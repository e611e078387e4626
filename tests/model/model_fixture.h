// What the tests of the model room share: the fixtures that tests/oracles/tiny_llama.py and smollm2.py wrote with
// transformers, and comparisons that say where two tensors differ most.
#pragma once

#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "ops/tensors.h"
#include "powerhouse/causal_lm.h"
#include "powerhouse/session.h"
#include "powerhouse/tensor_file.h"

namespace powerhouse::testing {

inline std::string fixture(std::string_view name) {
  return std::string(POWERHOUSE_FIXTURES) + "/model/" + std::string(name);
}

/// A tiny checkpoint and what transformers computes with it; both paths inside tests/fixtures/model.
struct TinyModel {
  const char* name;  // of the test
  const char* path;
  const char* expected;
};

inline constexpr TinyModel kTinyFolders[] = {
    {"gqa", "tiny_gqa", "tiny_gqa/expected.safetensors"},
    {"bias_llama3", "tiny_bias_llama3", "tiny_bias_llama3/expected.safetensors"},
    {"mqa_linear", "tiny_mqa_linear", "tiny_mqa_linear/expected.safetensors"},
    {"blocks", "tiny_blocks", "tiny_blocks/expected.safetensors"},
    {"bf16", "tiny_bf16", "tiny_bf16/expected.safetensors"},
};
inline constexpr TinyModel kTinyGgufs[] = {
    {"gqa_gguf", "tiny_gqa.gguf", "tiny_gqa/expected.safetensors"},
    {"bias_llama3_gguf", "tiny_bias_llama3.gguf", "tiny_bias_llama3/expected.safetensors"},
    {"mqa_linear_gguf", "tiny_mqa_linear.gguf", "tiny_mqa_linear/expected.safetensors"},
    {"blocks_gguf", "tiny_blocks.gguf", "tiny_blocks/expected.safetensors"},
    {"blocks_q8_0_gguf", "tiny_blocks_q8_0.gguf", "tiny_blocks_q8_0.expected.safetensors"},
    {"blocks_q4_0_gguf", "tiny_blocks_q4_0.gguf", "tiny_blocks_q4_0.expected.safetensors"},
};

inline std::string test_name(const ::testing::TestParamInfo<TinyModel>& info) { return info.param.name; }

inline CausalLM load_f32(std::string_view name) {
  return CausalLM::from_pretrained(fixture(name), {.dtype = Dtype::f32});
}

/// The tensors of a fixture by name.
class Expected {
 public:
  explicit Expected(std::string_view name) {
    for (auto& [key, tensor] : load_safetensors(fixture(name))) tensors_.emplace(key, tensor);
  }
  const at::Tensor& operator[](const std::string& key) const {
    const auto found = tensors_.find(key);
    if (found == tensors_.end()) throw std::runtime_error("the fixture has no tensor " + key);
    return found->second;
  }

 private:
  std::map<std::string, at::Tensor> tensors_;
};

inline std::vector<std::int64_t> to_vector(const at::Tensor& ids) {
  const at::Tensor dense = ids.to(at::kLong).contiguous();
  const std::int64_t* data = dense.const_data_ptr<std::int64_t>();
  return {data, data + dense.numel()};
}

inline at::Tensor to_tensor(const std::vector<std::int64_t>& values, at::IntArrayRef sizes) {
  at::Tensor tensor = empty_tensor(sizes, at::kLong);
  std::copy(values.begin(), values.end(), tensor.data_ptr<std::int64_t>());
  return tensor;
}

inline at::Tensor row(const at::Tensor& batch, std::int64_t index) { return batch.narrow(0, index, 1); }

/// How far `actual` is from `expected`, rows along the last dimension: the largest |difference| in standard deviations
/// of the expected row; infinity where shapes differ or something is not finite. `where` tells the place.
inline double distance(const at::Tensor& actual, const at::Tensor& expected, std::string* where = nullptr) {
  if (!actual.defined() || actual.sizes() != expected.sizes() || expected.numel() == 0) {
    if (where != nullptr) *where = "shapes differ or are empty";
    return std::numeric_limits<double>::infinity();
  }
  const std::int64_t width = expected.size(-1);
  const at::Tensor a = actual.detach().to(at::kDouble).reshape({-1, width}).contiguous();
  const at::Tensor b = expected.detach().to(at::kDouble).reshape({-1, width}).contiguous();
  const double* got = a.const_data_ptr<double>();
  const double* wanted = b.const_data_ptr<double>();
  double worst = -1;
  for (std::int64_t r = 0; r < b.size(0); ++r) {
    double mean = 0, square = 0;
    for (std::int64_t i = 0; i < width; ++i) mean += wanted[r * width + i] / static_cast<double>(width);
    for (std::int64_t i = 0; i < width; ++i) {
      const double centred = wanted[r * width + i] - mean;
      square += centred * centred / static_cast<double>(width);
    }
    for (std::int64_t i = 0; i < width; ++i) {
      const std::int64_t at = r * width + i;
      double apart = std::abs(got[at] - wanted[at]) / std::sqrt(square);
      if (got[at] == wanted[at]) apart = 0;
      if (!std::isfinite(got[at])) apart = std::numeric_limits<double>::infinity();
      if (!(apart > worst)) continue;
      worst = apart;
      if (where != nullptr) {
        *where = "row " + std::to_string(r) + ", column " + std::to_string(i) + ": " + std::to_string(got[at]) +
                 " instead of " + std::to_string(wanted[at]);
      }
    }
  }
  return worst;
}

/// Succeeds where every row of `actual` is within `tolerance` standard deviations of its expected row.
inline ::testing::AssertionResult close(const at::Tensor& actual, const at::Tensor& expected, double tolerance) {
  std::string where;
  const double apart = distance(actual, expected, &where);
  if (apart <= tolerance) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "the distance is " << apart << " standard deviations, more than " << tolerance
                                       << "; worst at " << where;
}

/// Float32 against float32 of another order of summation; llama.cpp and transformers differ by 5e-6 on these models.
inline constexpr double kSameF32 = 2e-5;

/// The path of the real model, or empty.
inline std::string real_model() {
  const char* path = std::getenv("POWERHOUSE_TEST_MODEL");
  return path == nullptr ? "" : path;
}

#define POWERHOUSE_NEEDS_REAL_MODEL()                                                                  \
  if (::powerhouse::testing::real_model().empty()) {                                                   \
    GTEST_SKIP() << "SKIPPED: POWERHOUSE_TEST_MODEL is not set; it names SmolLM2-135M-Instruct.Q4_1.gguf " \
                    "(scripts/test.sh fetches it)";                                                    \
  }

}  // namespace powerhouse::testing
