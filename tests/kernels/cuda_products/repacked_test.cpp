// CUDA's products with weights of GPTQ and AWQ, run on the CPU: the packages' own files, and many shapes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "formats/safetensors.h"
#include "kernels/cuda/product_plan.h"
#include "kernels/cuda_products/product_case.h"

namespace powerhouse::testing {
namespace {

using cuda::PackedLayout;
using cuda_on_host::Order;

using cuda_on_host::kOrders;

void expect_right(RepackedProblem& problem, const std::string& what) {
  std::vector<std::uint16_t> first;
  for (const Order order : kOrders) {
    ASSERT_EQ(problem.repack(order), "clean") << what;
    ASSERT_EQ(problem.run(order), "clean") << what;
    ASSERT_EQ(problem.wrong(), "") << what;
    if (first.empty()) first = problem.result();
    ASSERT_EQ(problem.result(), first) << "a result depends on time: " << what;
  }
}

class CudaGptqFixtureTest : public ::testing::TestWithParam<const char*> {
 protected:
  template <typename T>
  std::vector<T> read(const std::string& name, std::vector<std::int64_t>* shape = nullptr) const {
    for (const TensorView& each : file_.tensors) {
      if (each.name != GetParam() + ("." + name)) continue;
      if (shape != nullptr) *shape = each.shape;
      std::vector<T> values(each.bytes / sizeof(T));
      std::memcpy(values.data(), each.data, each.bytes);
      return values;
    }
    return {};
  }
  PackedWeight packed() const {
    const std::string name = GetParam();
    PackedWeight packed{.layout = name[0] == 'a' ? PackedLayout::awq : PackedLayout::gptq,
                        .bits = name[0] == 'a' ? 4 : name[4] - '0',
                        .zero_offset = name[0] == 'a' ? 0 : 1};
    std::vector<std::int64_t> shape, scales_shape;
    for (const float number : read<float>("weight", &shape)) packed.weight.push_back(static_cast<double>(number));
    packed.outputs = shape.at(0);
    packed.inputs = shape.at(1);
    packed.qweight = read<std::int32_t>("qweight");
    packed.qzeros = read<std::int32_t>("qzeros");
    packed.scales = read<float16>("scales", &scales_shape);
    packed.group = packed.inputs / scales_shape.at(0);
    packed.g_idx = read<std::int32_t>("g_idx");
    if (packed.g_idx.empty()) {
      for (std::int64_t i = 0; i < packed.inputs; ++i)
        packed.g_idx.push_back(static_cast<std::int32_t>(i / packed.group));
    }
    return packed;
  }

 private:
  SafetensorsFile file_ = read_safetensors(std::string(POWERHOUSE_FIXTURES) + "/kernels/gptq_awq.safetensors");
};

TEST_P(CudaGptqFixtureTest, NumbersAndProducts) {
  for (const Element type : {Element::bf16, Element::f16}) {
    for (const std::int64_t rows : {1, 11}) {
      RepackedProblem problem(packed(), {.rows = rows, .type = type, .multiprocessors = 4, .bias = true}, 7);
      expect_right(problem, GetParam());
      EXPECT_EQ(problem.dequantize(Element::f32, Order::random), "clean");
      EXPECT_EQ(problem.dequantize(type, Order::random), "clean");
    }
  }
}

/// "gptq_v2" stores the zeros themselves.
TEST_P(CudaGptqFixtureTest, SecondVersion) {
  PackedWeight weight = packed();
  const bool ordered = !std::is_sorted(weight.g_idx.begin(), weight.g_idx.end());
  if (weight.layout == PackedLayout::awq || ordered) return;  // the latter have zeros of 2^bits, which it cannot store
  weight.zero_offset = 0;
  const std::uint32_t most = (1u << weight.bits) - 1;
  for (std::int32_t& word : weight.qzeros) {
    for (int shift = 0; shift < 32; shift += weight.bits) {
      ASSERT_NE(static_cast<std::uint32_t>(word) >> shift & most, most);
    }
    const std::uint32_t ones = 0xFFFFFFFFu / most;
    word = static_cast<std::int32_t>(static_cast<std::uint32_t>(word) + ones);
  }
  RepackedProblem problem(weight, {.rows = 2, .type = Element::f16}, 7);
  expect_right(problem, GetParam());
}

INSTANTIATE_TEST_SUITE_P(, CudaGptqFixtureTest,
                         ::testing::Values("gptq4_g32", "gptq4_g64", "gptq4_g128_order", "gptq4_column", "gptq2_g64",
                                           "gptq3_g32_order", "gptq8_g32", "gptq8_g128_order", "awq_g32", "awq_g64",
                                           "awq_g128"),
                         [](const auto& info) { return std::string(info.param); });

std::vector<RepackedCase> shapes() {
  std::vector<RepackedCase> all;
  constexpr std::int64_t kRows[] = {1, 2, 3, 7, 8, 9, 13, 16, 17, 30, 33, 64, 70};
  constexpr std::int64_t kInputs[] = {32, 64, 96, 160, 256, 288, 512, 640, 1056, 1600};
  constexpr std::int64_t kGroups[] = {32, 64, 128, -1};
  constexpr std::int64_t kOutputs[] = {8, 16, 24, 40, 64, 72, 136};
  constexpr int kMultiprocessors[] = {1, 3, 20};
  for (int i = 0; i < 208; ++i) {
    RepackedCase one{.layout = i % 3 == 2 ? PackedLayout::awq : PackedLayout::gptq,
                     .bits = i % 3 == 2   ? 4
                             : i % 3 == 1 ? 8
                                          : 4,
                     .inputs = kInputs[i % 10],
                     .outputs = kOutputs[i % 7],
                     .rows = kRows[i % 13],
                     .ordered = i % 3 != 2 && i % 4 == 1,
                     .symmetric = i % 5 == 0,
                     .zero_offset = i % 3 != 2 && i % 2 == 0 ? 1 : 0,
                     .type = i / 3 % 2 == 0 ? Element::bf16 : Element::f16,
                     .multiprocessors = kMultiprocessors[i / 2 % 3],
                     .bias = i % 2 == 0};
    if (i % 24 == 3) one.bits = 2, one.outputs = one.outputs / 16 * 16 + 16;
    if (i % 24 == 9) one.bits = 3, one.outputs = 32;
    const std::int64_t group = kGroups[i / 7 % 4];
    one.group = group < 0 || group > one.inputs ? one.inputs : group;
    if (one.ordered && one.inputs % one.group != 0) one.group = 32;
    if (one.rows > 16 && one.inputs > 640) one.inputs = 416, one.group = 32;
    all.push_back(one);
  }
  return all;
}

TEST(CudaRepackedProductTest, Shapes) {
  std::uint64_t seed = 0;
  for (const RepackedCase& one : shapes()) {
    RepackedProblem problem(one, ++seed);
    std::ostringstream what;
    what << one;
    expect_right(problem, what.str());
    if (HasFatalFailure()) return;
    const Element type = seed % 2 == 0 ? Element::f32 : one.type;
    for (const Order order : kOrders) ASSERT_EQ(problem.dequantize(type, order), "clean") << one;
  }
}

/// Whole strips: codes and levels come once, nothing costs more than its bytes.
TEST(CudaRepackedProductTest, Traffic) {
  for (const int bits : {4, 8}) {
    for (const std::int64_t rows : {1, 8, 16, 32, 64}) {
      const RepackedCase one{.bits = bits, .group = 128, .inputs = 2048, .outputs = 256, .rows = rows, .gaps = false};
      RepackedProblem problem(one, 3);
      ASSERT_EQ(problem.repack(Order::forward), "clean") << one;
      ASSERT_EQ(problem.run(Order::random, 1), "clean") << one;
      EXPECT_EQ(traffic_complaint(problem.reports.at(0)), "") << one;
      EXPECT_EQ(problem.bytes_read(), 1) << one;
    }
  }
}

/// Groups that parts of the inputs share are read by each, codes are not.
TEST(CudaRepackedProductTest, BytesWhereInputsAreSplit) {
  const RepackedCase one{.group = 128, .inputs = 4096, .outputs = 64, .rows = 1, .multiprocessors = 8};
  RepackedProblem problem(one, 3);
  ASSERT_EQ(problem.repack(Order::forward), "clean");
  ASSERT_EQ(problem.run(Order::random), "clean");
  EXPECT_EQ(problem.wrong(), "");
  EXPECT_EQ(problem.reports.size(), 2);
  EXPECT_LE(problem.bytes_read(), 1.05);
}

TEST(CudaRepackedProductTest, RefusesWhatNoKernelIsFor) {
  RepackedProblem problem({.rows = 1}, 3);
  ASSERT_EQ(problem.repack(Order::forward), "clean");
  cuda_on_host::GlobalMemory memory;
  const HostLauncher launcher(memory, Order::forward, 1);
  EXPECT_FALSE(repacked_product_on_host({.weight = {.bits = 4}, .type = Element::f32}, launcher));
  EXPECT_FALSE(repacked_product_on_host({.weight = {.bits = 3}}, launcher));
  EXPECT_FALSE(repacked_product_on_host({.rows = 65536}, launcher));
  EXPECT_FALSE(repack_on_host({.layout = PackedLayout::awq, .bits = 8}, launcher));
  EXPECT_FALSE(repack_on_host({.bits = 5}, launcher));
  EXPECT_FALSE(repacked_dequantize_on_host({.weight = {.bits = 2}}, launcher));
  EXPECT_TRUE(launcher.reports.empty());
}

}  // namespace
}  // namespace powerhouse::testing
