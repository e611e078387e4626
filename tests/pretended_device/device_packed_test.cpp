// Weights of GPTQ and AWQ on a device: repacked for its kernels, they are the numbers that the CPU reads from the file.
#include <algorithm>

#include "device_fixture.h"
#include "formats/quantized_folder.h"
#include "formats/safetensors.h"
#include "ops/adapted_linear.h"
#include "ops/block_product.h"
#include "ops/dequantize.h"
#include "ops/linear.h"
#include "support/json.h"

namespace powerhouse::pretended_device {
namespace {

using testing::random_tensor;

class DevicePacked : public OnDevice {};

struct PackedCase {
  const char* name;
  const char* config;
};

// Packed by AutoGPTQ and AutoAWQ (tests/oracles/gptq_awq.py).
constexpr PackedCase kPackedCases[] = {
    {"gptq4_g32", R"({"quant_method": "gptq", "bits": 4, "group_size": 32})"},
    {"gptq4_g128_order", R"({"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": true})"},
    {"gptq4_column", R"({"quant_method": "gptq", "bits": 4, "group_size": -1})"},
    {"gptq2_g64", R"({"quant_method": "gptq", "bits": 2, "group_size": 64})"},
    {"gptq3_g32_order", R"({"quant_method": "gptq", "bits": 3, "group_size": 32, "desc_act": true})"},
    {"gptq8_g32", R"({"quant_method": "gptq", "bits": 8, "group_size": 32})"},
    {"gptq8_g128_order", R"({"quant_method": "gptq", "bits": 8, "group_size": 128, "desc_act": true})"},
    {"awq_g32", R"({"quant_method": "awq", "bits": 4, "group_size": 32, "version": "GEMM"})"},
    {"awq_g128", R"({"quant_method": "awq", "bits": 4, "group_size": 128})"},
};

Weight weight_of(const PackedCase& one, at::ScalarType type) {
  static const SafetensorsFile file =
      read_safetensors(std::string(POWERHOUSE_FIXTURES) + "/kernels/gptq_awq.safetensors");
  std::vector<TensorView> parts;
  for (const TensorView& view : file.tensors) {
    if (view.name.starts_with(std::string(one.name) + ".") && !view.name.ends_with(".weight")) parts.push_back(view);
  }
  const JoinedTensors folder = join_quantized(std::move(parts), Json::parse(one.config, "test"), "folder");
  const TensorView& view = folder.tensors.front();
  return Weight::from_file(view.name, {.views = {view}, .shape = view.shape}, false, type);
}

TEST_F(DevicePacked, WeightsAreTheNumbersOfTheFile) {
  for (const PackedCase& one : kPackedCases) {
    const Weight here = weight_of(one, at::kBFloat16);
    Weight far = weight_of(one, at::kBFloat16);
    far.move_to(device());
    ASSERT_TRUE(far.repacked() != nullptr) << one.name;
    EXPECT_EQ(far.dense_bytes(), 0U);
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf}) {
      EXPECT_TRUE(powerhouse::pretended_device::here(dequantized(far, type)).equal(dequantized(here, type)))
          << one.name << ' ' << c10::toString(type);
    }
    EXPECT_TRUE(powerhouse::pretended_device::here(dequantized_rows(far, 3, 7, at::kFloat))
                    .equal(dequantized_rows(here, 3, 7, at::kFloat)));
    const std::int64_t rows[] = {5, 0, 5};
    const at::Tensor places = index_tensor(rows);
    EXPECT_TRUE(powerhouse::pretended_device::here(far.rows(places)).equal(here.rows(places))) << one.name;
    // Saving reads the file's own codes.
    EXPECT_EQ(far.floats(), here.floats()) << one.name;
  }
}

TEST_F(DevicePacked, ProductsAreTheSame) {
  for (const PackedCase& one : kPackedCases) {
    for (const at::ScalarType type : {at::kBFloat16, at::kHalf}) {
      Weight far = weight_of(one, type);
      far.move_to(device());
      const at::Tensor numbers = dequantized(weight_of(one, type), at::kFloat);
      const at::Tensor bias = random_tensor({numbers.size(0)}, type, 3);
      for (const std::int64_t rows : {1, 5, 20, 70}) {
        const at::Tensor x = random_tensor({rows, numbers.size(1)}, type, 4);
        const at::Tensor expected = ops::linear(x.to(at::kFloat), numbers, bias.to(at::kFloat));
        const int before = launches();
        EXPECT_LT(error_of(ops::block_product(there(x), far, there(bias)), expected), tolerance_of(type))
            << one.name << ' ' << rows;
        EXPECT_GT(launches(), before);
        EXPECT_LT(error_of(ops::block_product_f32(there(x), far, there(bias)), expected), tolerance_of(type));
      }
    }
  }
}

TEST_F(DevicePacked, FrozenWeightsLetGradientsThrough) {
  const PackedCase& one = kPackedCases[1];
  Weight far = weight_of(one, at::kBFloat16);
  far.move_to(device());
  const Weight here = weight_of(one, at::kBFloat16);
  const at::Tensor rows = random_tensor({6, here.stored()->columns()}, at::kBFloat16, 5);
  expect_same([&](const Tensors& t) { return ops::adapted_linear(t[0], t[0].is_cpu() ? here : far, {}, {}); }, {rows},
              2);
}

TEST_F(DevicePacked, WhatNoKernelMultipliesIsDense) {
  Weight far = weight_of(kPackedCases[0], at::kFloat);
  far.move_to(device());
  EXPECT_TRUE(far.repacked() == nullptr);
  EXPECT_GT(far.dense_bytes(), 0U);
}

// HQQ's zeros are no whole numbers, which is all that the kernels know.
TEST_F(DevicePacked, FractionalZerosAreDense) {
  const std::string folder = std::string(POWERHOUSE_FIXTURES) + "/model/packed/hqq4";
  const JoinedTensors joined =
      join_quantized(read_safetensors_folder(folder), Json::parse(R"({"quant_method": "hqq"})", "test"), folder);
  const auto view = std::find_if(joined.tensors.begin(), joined.tensors.end(),
                                 [](const TensorView& one) { return one.rows != nullptr; });
  ASSERT_NE(view, joined.tensors.end());
  const auto weight = [&] {
    return Weight::from_file(view->name, {.views = {*view}, .shape = view->shape}, false, at::kBFloat16);
  };
  const Weight here = weight();
  Weight far = weight();
  far.move_to(device());
  EXPECT_TRUE(far.repacked() == nullptr);
  EXPECT_TRUE(
      powerhouse::pretended_device::here(dequantized(far, at::kBFloat16)).equal(dequantized(here, at::kBFloat16)));
}

}  // namespace
}  // namespace powerhouse::pretended_device
