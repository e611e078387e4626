// Training held to transformers' Trainer and PEFT, step by step, in float32: the same documents, order and first
// adapter (tests/oracles/training.py, training_smollm2.py). The loss of each of 20 steps within 1e-4 of theirs, all
// tensors within 1e-3 in the end.
#include <gtest/gtest.h>

#include <algorithm>

#include "parity.h"

namespace powerhouse::testing {
namespace {

constexpr double kLossTolerance = 1e-4;  // relative, of each step
constexpr double kTensorTolerance = 1e-3;

constexpr const char* kRuns[] = {
    "llama_lora",  "llama_full",          "gpt2_lora",           "gpt2_full",    "falcon_lora",
    "falcon_full", "falcon_grouped_lora", "falcon_grouped_full", "mixtral_lora", "mixtral_full",
    "nf4_lora",    "q4_0_lora",           "q8_0_lora",           "q4_k_lora",    "iq_lora"};

void expect_parity_steps(const Json& run, const std::vector<ParityStep>& steps) {
  const auto& losses = run.at("losses").as_array();
  ASSERT_EQ(losses.size(), 20u);
  ASSERT_EQ(steps.size(), losses.size());
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const double loss = losses[i].as_double(), norm = run.at("grad_norms").as_array()[i].as_double();
    EXPECT_NEAR(steps[i].loss / loss, 1, kLossTolerance) << "step " << i + 1;
    EXPECT_NEAR(steps[i].grad_norm / norm, 1, kTensorTolerance) << "step " << i + 1;
    EXPECT_NEAR(steps[i].learning_rate, run.at("learning_rates").as_array()[i].as_double(), 1e-12) << "step " << i + 1;
  }
}

// Numbers that the oracle left out (NaN) count for nothing; at most a third of a tensor may be so.
void expect_same_tensor(const std::string& name, const at::Tensor& ours, const at::Tensor& theirs) {
  ASSERT_EQ(ours.sizes(), theirs.sizes()) << name;
  const at::Tensor known = theirs.eq(theirs);
  ASSERT_GE(3 * known.sum().item<std::int64_t>(), 2 * theirs.numel()) << name;
  const at::Tensor apart =
      ours.detach().to(at::kDouble).sub(theirs.to(at::kDouble)).masked_fill(known.logical_not(), 0);
  EXPECT_LT(apart.abs().max().item<double>(), kTensorTolerance) << name;
  const double norm = theirs.to(at::kDouble).masked_fill(known.logical_not(), 0).norm().item<double>();
  EXPECT_LT(apart.norm().item<double>(), kTensorTolerance * norm + 1e-9) << name;
}

class Parity : public ::testing::TestWithParam<const char*> {
 protected:
  const Json run_ = parity_run(GetParam());
  const Tensors final_{training_fixture(std::string(GetParam()) + "/final.safetensors")};
  CausalLM model_ = parity_model(run_);
};

TEST_P(Parity, StepsAndFinalTensorsAreTheirs) {
  const bool lora = run_.at("method").as_string() == "lora";
  if (lora) {
    model_.load_adapter(training_fixture(std::string(GetParam()) + "/adapter"), "default", true);
  } else {
    model_.set_requires_grad(true);
  }
  expect_parity_steps(run_, train(model_, run_, parity_rows()));
  if (lora) {
    const auto ours = adapter_tensors(model_, "default");
    EXPECT_EQ(ours.size(), final_.all().size());
    for (const auto& [name, tensor] : ours) expect_same_tensor(name, tensor, final_[name]);
    return;
  }
  for (const auto& [name, tensor] : final_.all()) {
    const std::size_t at = name.find('@');  // every n-th number
    const at::Tensor whole = model_.parameter(name.substr(0, at));
    const at::Tensor ours =
        at == std::string::npos ? whole : whole.reshape({-1}).slice(0, 0, {}, std::stoll(name.substr(at + 1)));
    expect_same_tensor(name, ours, tensor);
  }
  for (const auto& [name, want] : run_.at("tensors").as_object()) {
    const at::Tensor ours = model_.parameter(name).detach().to(at::kDouble);
    const double sum = want.as_array()[0].as_double(), norm = want.as_array()[1].as_double();
    EXPECT_NEAR(ours.norm().item<double>() / norm, 1, kTensorTolerance) << name;
    EXPECT_NEAR(ours.sum().item<double>(), sum, kTensorTolerance * norm * std::sqrt(static_cast<double>(ours.numel())))
        << name;
  }
}

// AdamW makes a whole step of any gradient that is not zero, so that the test above sees the wrong ones decay only
// where weights are large: which parameters decay is compared by name.
TEST_P(Parity, TheSameParametersDecay) {
  if (run_.at("method").as_string() == "lora") {
    model_.load_adapter(training_fixture(std::string(GetParam()) + "/adapter"), "default", true);
    for (const ParameterGroup& group : make_parameter_groups(model_.trainable_parameters())) {
      for (const auto& [name, tensor] : group.parameters)
        EXPECT_NE(group.weight_decay, std::optional<double>(0)) << name;
    }
    return;
  }
  model_.set_requires_grad(true);
  std::vector<at::Tensor> theirs;
  for (const Json& name : run_.at("decayed").as_array()) theirs.push_back(model_.parameter(name.as_string()));
  for (const ParameterGroup& group : make_parameter_groups(model_.trainable_parameters())) {
    for (const auto& [name, parameter] : group.parameters) {
      const void* storage = parameter.storage().data();  // a file's tensor may be a view of one of ours
      const bool decays =
          std::any_of(theirs.begin(), theirs.end(), [&](const at::Tensor& t) { return t.storage().data() == storage; });
      EXPECT_EQ(group.weight_decay != std::optional<double>(0), decays) << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Runs, Parity, ::testing::ValuesIn(kRuns),
                         [](const auto& info) { return std::string(info.param); });

TEST(ParityFixtures, AreAllTested) {
  std::vector<std::string> written;
  const Json runs = Json::parse_file(training_fixture("runs.json"));
  for (const Json& run : runs.as_array()) written.push_back(run.at("name").as_string());
  EXPECT_EQ(written, std::vector<std::string>(std::begin(kRuns), std::end(kRuns)));
}

}  // namespace
}  // namespace powerhouse::testing
