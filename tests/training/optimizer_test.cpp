// Optimizers against torch, transformers and bitsandbytes (tests/oracles/optimizers.py): weights and states after 20
// steps.
#include "powerhouse/optimizer.h"

#include <algorithm>

#include "expect_error.h"
#include "training/optimizer_cases.h"
#include "training/state_codes.h"

namespace powerhouse::testing {
namespace {

const std::map<std::string, at::Tensor>& expected_tensors() {
  static const auto tensors =
      by_name(load_safetensors(std::string(POWERHOUSE_FIXTURES) + "/training/optimizers.safetensors"));
  return tensors;
}

/// Each |found - expected| <= relative |expected| + absolute max|expected|; the worst is reported.
void expect_near(const at::Tensor& found, const at::Tensor& expected, double relative, double absolute,
                 const std::string& what) {
  ASSERT_EQ(found.sizes(), expected.sizes()) << what;
  ASSERT_EQ(found.scalar_type(), expected.scalar_type()) << what;
  const at::Tensor a = found.to(at::kDouble).flatten(), b = expected.to(at::kDouble).flatten();
  const double largest = b.abs().max().item<double>();
  const at::Tensor excess = a.sub(b).abs().div(b.abs().mul(relative).add(absolute * largest + 1e-30));
  const auto where = excess.argmax().item<std::int64_t>();
  const double worst = excess[where].item<double>();
  EXPECT_LE(worst, 1) << what << " element " << where << ": " << a[where].item<double>() << ", expected "
                      << b[where].item<double>() << ", largest " << largest;
  if (std::getenv("POWERHOUSE_TEST_VERBOSE") != nullptr)
    std::printf("%-50s %8.3f of the tolerance\n", what.c_str(), worst);
}

/// float32 to 1e-6, with a rounding of the tensor's largest for what cancels. Types of fewer bits: the same numbers,
/// but for one in a hundred whose rounding fell the other way in a step, and is then up to two units off.
void expect_tensor(const at::Tensor& found, const at::Tensor& expected, const std::string& what) {
  if (expected.scalar_type() == at::kFloat) return expect_near(found, expected, 1e-6, 2.5e-7, what);
  const double unit = expected.scalar_type() == at::kBFloat16 ? 0x1p-7 : 0x1p-10;
  expect_near(found, expected, 2 * unit, 0x1p-12, what);
  const auto others = found.to(at::kDouble).ne(expected.to(at::kDouble)).sum().item<std::int64_t>();
  EXPECT_LE(others, (expected.numel() + 99) / 100) << what << ": numbers that differ";
}

/// The same codes, but for one in a thousand that lies so near a bound that the last bit of float32 decides.
void expect_codes(const at::Tensor& found, const at::Tensor& expected, const std::string& what) {
  const at::Tensor apart = found.to(at::kInt).sub(expected.to(at::kInt)).abs();
  EXPECT_LE(apart.max().item<std::int64_t>(), 1) << what;
  EXPECT_LE(apart.sum().item<std::int64_t>(), expected.numel() / 1000) << what << ": codes that differ";
}

class OptimizerMethods : public ::testing::TestWithParam<OptimizerCase> {};

TEST_P(OptimizerMethods, HaveThePeersNumbersAfterTwentySteps) {
  const OptimizerCase& test = GetParam();
  std::vector<NamedTensor> parameters = test.parameters();
  Optimizer optimizer({{.parameters = parameters}}, options_of(test), {.master_weights = test.master});
  for (std::uint64_t step = 0; step < 20; ++step) {
    test.set_gradients(parameters, step);
    const StepResult result = optimizer.step({.max_grad_norm = test.clip});
    ASSERT_TRUE(result.applied);
    if (step < test.norms.size()) {
      EXPECT_NEAR(result.grad_norm / test.norms[step], 1, 1e-6);
    }
  }
  const auto states = by_name(optimizer.state_dict());
  std::size_t compared = 0;
  for (const auto& [name, expected] : expected_tensors()) {
    if (!name.starts_with(test.name + "/")) continue;
    const std::string key = name.substr(test.name.size() + 1);
    const auto parameter =
        std::find_if(parameters.begin(), parameters.end(), [&](const auto& p) { return p.first == key; });
    ++compared;
    if (parameter != parameters.end() && test.master) {
      expect_tensor(states.at(key + ".master"), expected, name);
      EXPECT_TRUE(same_bits(parameter->second.detach(), states.at(key + ".master").to(test.dtype))) << name;
    } else if (parameter != parameters.end()) {
      expect_tensor(parameter->second.detach(), expected, name);
    } else if (expected.scalar_type() == at::kByte) {
      expect_codes(states.at(key), expected, name);
    } else {
      expect_tensor(states.at(key), expected, name);
    }
  }
  EXPECT_EQ(compared + parameters.size(), states.size() + (test.master ? 0 : parameters.size()))
      << "a state without an expectation";
}

INSTANTIATE_TEST_SUITE_P(, OptimizerMethods, ::testing::ValuesIn(optimizer_cases()),
                         [](const auto& info) { return info.param.name; });

// To 1e-6: bitsandbytes takes torch.linspace, whose roundings (of 1, at 0.1) differ with the processor's vectors.
TEST(StateCodes, AreBitsandbytesDynamicMaps) {
  for (const bool with_sign : {true, false}) {
    const at::Tensor& expected = expected_tensors().at(with_sign ? "codes.signed" : "codes.unsigned");
    const cpu::StateCodes& codes = with_sign ? signed_state_codes() : unsigned_state_codes();
    for (std::int64_t i = 0; i < 256; ++i) {
      const float value = expected[i].item<float>();
      ASSERT_NEAR(codes.values[i], value, std::abs(value) * 1e-6f) << i;
    }
  }
}

TEST(StateCodes, FindTheNearestValueAnywhere) {
  for (const cpu::StateCodes* codes : {&signed_state_codes(), &unsigned_state_codes()}) {
    for (std::uint32_t i = 0; i < 2000000; ++i) {
      const float magnitude = bits_float(mix(i) % 0x3F800001u);  // any number in [0, 1]
      const float x = codes == &signed_state_codes() && i % 2 == 1 ? -magnitude : magnitude;
      const std::uint8_t first = codes->first[float_bits(x) >> 16];
      const int code = first + (codes->bounds[first] < x ? 1 : 0);
      ASSERT_TRUE(code == 0 || codes->bounds[code - 1] < x) << x;
      ASSERT_TRUE(code == 255 || codes->bounds[code] >= x) << x;
    }
  }
}

}  // namespace
}  // namespace powerhouse::testing
