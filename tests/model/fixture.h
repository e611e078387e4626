// The model fixtures that tests/oracles/tiny_llama.py and smollm2.py wrote with transformers, and comparison of logits
// by the bar that they are held to.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <ostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "ops/tensors.h"
#include "powerhouse/causal_lm.h"
#include "powerhouse/tensor_file.h"
#include "support/json.h"

namespace powerhouse::testing {

inline std::string fixture(const std::string& name) { return POWERHOUSE_FIXTURES "/model/" + name; }

/// The checkpoints in families/ that transformers wrote, one of each family and variant.
inline std::vector<std::string> family_names() {
  std::vector<std::string> names;
  const Json index = Json::parse_file(fixture("families/index.json"));
  for (const Json& row : index.as_array()) names.push_back(row.at("name").as_string());
  return names;
}

/// A tiny checkpoint and what transformers computes with it; both inside tests/fixtures/model.
struct TinyModel {
  const char* name;  // of the test
  const char* path;
  const char* expected;

  friend void PrintTo(const TinyModel& model, std::ostream* out) { *out << model.path; }
};

inline constexpr TinyModel kTinyFolders[] = {
    {"gqa", "tiny_gqa", "tiny_gqa/expected.safetensors"},
    {"bias_llama3", "tiny_bias_llama3", "tiny_bias_llama3/expected.safetensors"},
    {"mqa_linear", "tiny_mqa_linear", "tiny_mqa_linear/expected.safetensors"},
    {"blocks", "tiny_blocks", "tiny_blocks/expected.safetensors"},
    {"bf16", "tiny_bf16", "tiny_bf16/expected.safetensors"},
};
inline constexpr TinyModel kTinyGgufs[] = {
    {"gqa", "tiny_gqa.gguf", "tiny_gqa/expected.safetensors"},
    {"bias_llama3", "tiny_bias_llama3.gguf", "tiny_bias_llama3/expected.safetensors"},
    {"mqa_linear", "tiny_mqa_linear.gguf", "tiny_mqa_linear/expected.safetensors"},
    {"blocks", "tiny_blocks.gguf", "tiny_blocks/expected.safetensors"},
    {"blocks_q8_0", "tiny_blocks_q8_0.gguf", "tiny_blocks_q8_0.expected.safetensors"},
    {"blocks_q4_0", "tiny_blocks_q4_0.gguf", "tiny_blocks_q4_0.expected.safetensors"},
};

inline std::string test_name(const ::testing::TestParamInfo<TinyModel>& info) { return info.param.name; }

inline CausalLM load(const std::string& name, Dtype dtype = Dtype::f32) {
  return CausalLM::from_pretrained(fixture(name), {.dtype = dtype});
}

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

/// int64 [1, length].
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
/// Float32 in another order of summation. llama.cpp and transformers are 5e-6 apart on the tiny models.
inline constexpr double kSameF32 = 2e-5;

/// Succeeds where each row of `a` is within `tolerance` standard deviations of its row in `b`; else tells the worst.
inline ::testing::AssertionResult close(const at::Tensor& a, const at::Tensor& b, double tolerance) {
  if (!a.defined() || a.sizes() != b.sizes() || b.numel() == 0) {
    return ::testing::AssertionFailure() << "shapes differ, or there is nothing to compare";
  }
  const at::Tensor left = a.detach().to(at::kDouble).reshape({-1, a.size(-1)});
  const at::Tensor right = b.detach().to(at::kDouble).reshape({-1, b.size(-1)});
  const at::Tensor error = left.sub(right).abs().div(right.std(-1, true, true).add(1e-30)).flatten();
  const auto place = error.argmax().item<std::int64_t>();  // of a NaN, where there is one
  const double worst = error[place].item<double>();
  if (worst <= tolerance) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << worst << " standard deviations apart, more than " << tolerance << ", in row "
                                       << place / a.size(-1) << ", column " << place % a.size(-1) << ": "
                                       << left.flatten()[place].item<double>() << " instead of "
                                       << right.flatten()[place].item<double>();
}

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
