// Adapters that oracles of the real model start from: a formula, so that a fixture need not hold ten megabytes.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "model/fixture.h"
#include "powerhouse/adapter.h"
#include "powerhouse/tensor_file.h"
#include "support/json.h"

namespace powerhouse::testing {

// In [-bound, bound); exact in float32 where the bound is a power of two.
inline float hashed(std::uint32_t tensor, std::uint32_t i, float bound) {
  std::uint32_t x = i * 2654435761u + (tensor * 40503u + 12345u);
  for (int round = 0; round < 2; ++round) {
    x ^= x >> 16;
    x *= 0x45D9F3Bu;
  }
  x ^= x >> 16;
  return (static_cast<float>(x >> 8) * 0x1p-23f - 1.0f) * bound;
}

// Sets the adapter's tensors, by the order of their names, as the oracle's were.
inline void fill_with_hashes(const CausalLM& model, const Json& sorted_names) {
  std::vector<NamedTensor> tensors = adapter_tensors(model, "default");
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  const auto& names = sorted_names.as_array();
  ASSERT_EQ(tensors.size(), names.size());
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    ASSERT_EQ(tensors[t].first, names[t].as_string());
    const at::Tensor values = tensors[t].second.detach();  // the same memory
    ASSERT_TRUE(values.is_contiguous());
    const float bound = tensors[t].first.find("lora_B") != std::string::npos ? 0x1p-7f : 0x1p-5f;
    float* data = values.data_ptr<float>();
    for (std::int64_t i = 0; i < values.numel(); ++i) {
      data[i] = hashed(static_cast<std::uint32_t>(t), static_cast<std::uint32_t>(i), bound);
    }
  }
}

}  // namespace powerhouse::testing
