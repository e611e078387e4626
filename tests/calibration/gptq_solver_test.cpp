// GPTQ's solver against AutoGPTQ's on the same weights and Hessian (tests/oracles/gptq_solver.py).
#include "calibration/gptq_solver.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "calibration/hessian.h"
#include "powerhouse/tensor_file.h"
#include "tests/expect_error.h"
#include "tests/random_tensor.h"

namespace powerhouse::testing {
namespace {

struct Case {
  const char* name;
  int bits;
  std::int64_t group;
  bool sym, order, fixed, search;

  friend void PrintTo(const Case& own, std::ostream* out) { *out << own.name; }
};

constexpr Case kCases[] = {
    {"g32", 4, 32, true, false, false, false},
    {"g32_asym", 4, 32, false, false, false, false},
    {"g64_order", 4, 64, true, true, false, false},
    {"g64_order_asym", 4, 64, false, true, false, false},
    {"g32_static_order", 4, 32, true, true, true, false},
    {"row", 4, -1, true, false, false, false},
    {"row_order_asym", 3, -1, false, true, false, false},
    {"g64_2bit", 2, 64, false, false, false, false},
    {"g32_3bit", 3, 32, true, false, false, false},
    {"g64_8bit", 8, 64, true, false, false, false},
    {"g32_search", 4, 32, true, false, false, true},
    {"g32_search_asym", 3, 32, false, false, false, true},
};

class Fixture {
 public:
  Fixture() : tensors_(load_safetensors(POWERHOUSE_FIXTURES "/quantization/gptq_solver.safetensors")) {}
  const at::Tensor& operator[](const std::string& name) const {
    for (const auto& [key, tensor] : tensors_) {
      if (key == name) return tensor;
    }
    throw std::runtime_error("the fixture has no tensor " + name);
  }

 private:
  std::vector<NamedTensor> tensors_;
};

double error_of(const at::Tensor& weight, const at::Tensor& values, const at::Tensor& hessian) {
  const at::Tensor error = weight.sub(values).to(at::kDouble);
  return error.mm(hessian.to(at::kDouble)).mul(error).sum().item<double>();
}

at::Tensor values_of(const GroupedCodes& codes) {
  const std::vector<float> values = dequantized(codes);
  at::Tensor out = empty_tensor({codes.outputs, codes.inputs}, at::kFloat);
  std::copy(values.begin(), values.end(), out.mutable_data_ptr<float>());
  return out;
}

class GptqSolver : public ::testing::TestWithParam<Case> {};

TEST_P(GptqSolver, FindsTheCodesOfAutoGptq) {
  const Case& own = GetParam();
  const Fixture fixture;
  const at::Tensor& weight = fixture["weight"];
  const at::Tensor& hessian = fixture["hessian"];
  GptqRule rule{.grid = {.bits = own.bits,
                         .symmetric = own.sym,
                         .search = own.search ? GridSearch::mse : GridSearch::none,
                         .round_scales = false},
                .group_size = own.group,
                .desc_act = own.order,
                .static_groups = own.fixed,
                .damp_percent = 0.01,
                .block_size = own.group > 0 ? own.group : 64};
  const HessianFactor factor = factor_hessian(hessian, rule, "layer");
  EXPECT_EQ(factor.damp_percent, 0.01);
  const GptqSolution found = solve_gptq(weight, factor, rule, "layer");
  const std::string name = own.name;
  const at::Tensor codes = fixture[name + ".codes"];
  const auto* const expected = codes.const_data_ptr<std::uint8_t>();
  std::int64_t others = 0;
  for (std::size_t i = 0; i < found.codes.codes.size(); ++i) others += found.codes.codes[i] != expected[i];
  // A sum in another order moves a weight across the middle between two codes, and with it those behind it.
  EXPECT_LE(others, codes.numel() / 200) << own.name;
  EXPECT_LE(error_of(weight, found.values, hessian), 1.002 * fixture[name + ".error"].item<double>());
  const at::Tensor g_idx = fixture[name + ".g_idx"];
  for (std::int64_t i = 0; i < g_idx.numel(); ++i) {
    ASSERT_EQ(found.codes.group_at(i), g_idx.const_data_ptr<std::int32_t>()[i]) << "column " << i;
  }
  // Grids of later groups follow from codes of earlier ones.
  const at::Tensor scales = fixture[name + ".scales"].contiguous();
  std::int64_t other_scales = 0;
  for (std::int64_t i = 0; i < scales.numel(); ++i) {
    const double reference = scales.const_data_ptr<float>()[i];
    other_scales += std::abs(found.codes.scales[static_cast<std::size_t>(i)] - reference) > 1e-4 * reference;
  }
  EXPECT_LE(other_scales, scales.numel() / 50);
}

INSTANTIATE_TEST_SUITE_P(Cases, GptqSolver, ::testing::ValuesIn(kCases),
                         [](const auto& own) { return std::string(own.param.name); });

TEST(GptqSolver, ValuesAreWhatTheCodesSayWithScalesOfFloat16) {
  const Fixture fixture;
  for (const bool sym : {true, false}) {
    for (const bool order : {false, true}) {
      const GptqRule rule{.grid = {.bits = 4, .symmetric = sym, .least_zero = 1}, .group_size = 32, .desc_act = order};
      const GptqSolution found =
          solve_gptq(fixture["weight"], factor_hessian(fixture["hessian"], rule, "layer"), rule, "layer");
      EXPECT_TRUE(same_bits(values_of(found.codes), found.values));
      check(found.codes, "layer", 1, 16);
      for (const float scale : found.codes.scales) EXPECT_EQ(to_float(rounded<float16>(scale)), scale);
    }
  }
}

TEST(GptqSolver, LongBlocksAreNoWorseThanRoundingToNearest) {
  const Fixture fixture;
  const at::Tensor& weight = fixture["weight"];
  const GptqRule rule{.group_size = 32, .block_size = 128};  // its groups see the corrections of their block
  const at::Tensor& hessian = fixture["hessian"];
  const double found =
      error_of(weight, solve_gptq(weight, factor_hessian(hessian, rule, ""), rule, "").values, hessian);
  const double nearest = error_of(weight, solve_gptq(weight, {}, rule, "").values, hessian);
  EXPECT_LT(found, 0.6 * nearest);
  EXPECT_LE(found, 1.02 * fixture["g32.error"].item<double>());
}

// The reference's own search looks at weights alone.
TEST(GptqSolver, RangesByTheHessianLoseLessThanAutoGptqsOwn) {
  const Fixture fixture;
  const at::Tensor& weight = fixture["weight"];
  const at::Tensor& hessian = fixture["hessian"];
  for (const auto& [name, bits, sym, order, fixed] : {std::tuple{"g32", 4, true, false, false},
                                                      {"g32_search", 4, true, false, false},
                                                      {"g32_asym", 4, false, false, false},
                                                      {"g32_search_asym", 3, false, false, false},
                                                      {"g32_static_order", 4, true, true, true}}) {
    const GptqRule rule{.grid = {.bits = bits, .symmetric = sym, .search = GridSearch::weighted},
                        .group_size = 32,
                        .desc_act = order,
                        .static_groups = fixed,
                        .block_size = 32};
    const at::Tensor values = solve_gptq(weight, factor_hessian(hessian, rule, ""), rule, "").values;
    EXPECT_LT(error_of(weight, values, hessian), fixture[std::string(name) + ".error"].item<double>()) << name;
  }
}

TEST(GroupGrid, AWeightedSearchFindsTheShareOfTheLeastError) {
  constexpr std::int64_t kColumns = 32, kRows = 5;
  const at::Tensor weights = random_tensor({kColumns, kRows});
  const at::Tensor costs = random_tensor({kColumns}).square();
  const auto* const w = weights.const_data_ptr<float>();
  const auto* const cost = costs.const_data_ptr<float>();
  float scales[kRows], zeros[kRows];
  const GridRule rule{.bits = 3, .search = GridSearch::weighted, .round_scales = false};
  find_grids(rule, w, kColumns, kRows, kRows, cost, scales, zeros);
  int shrunken = 0;
  for (std::int64_t r = 0; r < kRows; ++r) {
    const auto error_with = [&](double scale) {
      double sum = 0;
      for (std::int64_t c = 0; c < kColumns; ++c) {
        const double x = w[c * kRows + r];
        sum += cost[c] * std::pow(scale * std::clamp(std::nearbyint(x / scale), -4.0, 3.0) - x, 2);
      }
      return sum;
    };
    double largest = 0;
    for (std::int64_t c = 0; c < kColumns; ++c) largest = std::max<double>(largest, std::abs(w[c * kRows + r]));
    EXPECT_EQ(zeros[r], 4.0f);
    for (int i = 0; i <= 16; ++i) {
      EXPECT_LE(error_with(scales[r]), 1.00001 * error_with((1 - 0.05 * i) * largest * 2 / 7)) << r << " " << i;
    }
    shrunken += scales[r] < 0.99f * static_cast<float>(largest) * 2 / 7 ? 1 : 0;
  }
  EXPECT_GT(shrunken, 0);
}

TEST(GptqSolver, DampsUntilAHessianIsPositiveDefinite) {
  at::Tensor hessian = random_tensor({64, 64});
  hessian = hessian.mm(hessian.t());
  hessian.diagonal().sub_(20);  // some of its directions cost less than nothing
  const GptqRule rule{.group_size = 32, .damp_percent = 0.01};
  const HessianFactor factor = factor_hessian(hessian, rule, "layer");
  EXPECT_GT(factor.damp_percent, 0.01);
  const at::Tensor weight = random_tensor({32, 64}, at::kFloat, 2);
  EXPECT_TRUE(solve_gptq(weight, factor, rule, "layer").values.isfinite().all().item<bool>());
  expect_error(ErrorKind::numeric, "layer.name",
               [&] { factor_hessian(hessian.neg().sub(hessian.diagonal().mean().mul(100)), rule, "layer.name"); });
}

TEST(GptqSolver, KeepsTheWeightsOfInputsThatAreAlwaysZero) {
  Hessian hessian;
  at::Tensor inputs = random_tensor({100, 64});
  inputs.select(1, 5).zero_();
  hessian.add(inputs);
  const GptqRule rule{.group_size = 32};
  const HessianFactor factor = factor_hessian(hessian.matrix(), rule, "layer");
  EXPECT_EQ(factor.dead_columns, 1);
  const at::Tensor weight = random_tensor({8, 64}, at::kFloat, 3);
  const at::Tensor values = solve_gptq(weight, factor, rule, "layer").values;
  const at::Tensor nearest = solve_gptq(weight, {}, rule, "layer").values;
  EXPECT_LT(max_difference(values.select(1, 5), weight.select(1, 5)), 0.4);
  EXPECT_LT(max_difference(nearest.select(1, 5), weight.select(1, 5)), 0.4);
}

TEST(GptqSolver, RefusesWhatIsNoNumberAndGroupsThatDoNotDivide) {
  const GptqRule rule{.group_size = 128};
  const at::Tensor weight = random_tensor({8, 192});
  expect_error(ErrorKind::unsupported, "64, 32 or -1, of 192 inputs", [&] { solve_gptq(weight, {}, rule, "layer"); });
  const GptqRule fits{.group_size = 64};
  weight[3][7].fill_(NAN);
  expect_error(ErrorKind::numeric, "layer.x", [&] { solve_gptq(weight, {}, fits, "layer.x"); });
  at::Tensor hessian = random_tensor({192, 192});
  hessian[0][1].fill_(INFINITY);
  expect_error(ErrorKind::numeric, "layer.y", [&] { factor_hessian(hessian, fits, "layer.y"); });
  const at::Tensor huge = random_tensor({8, 192}).mul(1e8);
  expect_error(ErrorKind::numeric, "float16", [&] { solve_gptq(huge, {}, fits, "layer.z"); });
}

TEST(GptqSolver, GroupsOfOneSignAndOfZeros) {
  at::Tensor weight = random_tensor({4, 32}).abs().add(1.0);
  weight.select(0, 1).zero_();
  weight.select(0, 2).neg_();
  for (const bool sym : {true, false}) {
    const GptqRule rule{.grid = {.bits = 4, .symmetric = sym, .least_zero = sym ? 0 : 1}, .group_size = 32};
    const GptqSolution found = solve_gptq(weight, {}, rule, "layer");
    // Within half a step, but for the end of the codes that a zero in the middle cuts.
    const double step = weight.abs().max().item<double>() / (sym ? 7.5 : 14);
    EXPECT_LE(max_difference(found.values, weight), step) << sym;
    EXPECT_EQ(found.values.select(0, 1).abs().max().item<double>(), 0.0);
  }
}

TEST(Hessian, IsTwiceTheMeanOfProducts) {
  const at::Tensor x = random_tensor({50, 600});
  Hessian hessian;
  hessian.add(x.narrow(0, 0, 20));
  hessian.add(x.narrow(0, 20, 30));
  const at::Tensor wide = x.to(at::kDouble);
  const at::Tensor expected = wide.t().mm(wide).mul(2.0 / 50);
  EXPECT_LT(max_difference(hessian.matrix(), expected), 1e-5);
  EXPECT_EQ(hessian.tokens(), 50);
}

}  // namespace
}  // namespace powerhouse::testing
