// LoRA on the real model in float32 against transformers' Trainer and PEFT (tests/oracles/training_smollm2.py). The
// first adapter is a hash of (tensor, number), so that the fixture need not hold it; of the last one it holds norms,
// sums and samples.
#include <gtest/gtest.h>

#include <algorithm>

#include "parity.h"
#include "training/hashed_adapter.h"

namespace powerhouse::testing {
namespace {

void expect_same_adapter(const CausalLM& model, const Json& run) {
  const Tensors want(training_fixture("smollm2.safetensors"));
  std::vector<NamedTensor> tensors = adapter_tensors(model, "default");
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  ASSERT_EQ(want["samples"].size(0), static_cast<std::int64_t>(tensors.size()));
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    const auto row = static_cast<std::int64_t>(t);
    const at::Tensor ours = tensors[t].second.detach().to(at::kDouble).reshape({-1});
    const double norm = want["norms"][row].item<double>(), sum = want["sums"][row].item<double>();
    EXPECT_NEAR(ours.norm().item<double>() / norm, 1, 1e-3) << tensors[t].first;
    EXPECT_NEAR(ours.sum().item<double>(), sum, 1e-3 * norm * std::sqrt(static_cast<double>(ours.numel())))
        << tensors[t].first;
    for (std::int64_t k = 0; k < 8; ++k) {
      EXPECT_NEAR(ours[k * (ours.numel() - 1) / 7].item<double>(), want["samples"][row][k].item<double>(), 1e-3)
          << tensors[t].first;
    }
  }
  EXPECT_EQ(run.at("names").as_array().size(), tensors.size());
}

TEST(ParitySmolLM2, StepsAndFinalAdapterArePeftsOnTheDequantizedModel) {
  POWERHOUSE_NEEDS_REAL_MODEL();
  const Json run = Json::parse_file(training_fixture("smollm2.json"));
  CausalLM model = CausalLM::from_pretrained(real_model(), {.dtype = Dtype::f32});
  LoraConfig config{.rank = 8, .alpha = 16};
  for (const Json& name : run.at("target_modules").as_array()) config.target_modules.push_back(name.as_string());
  model.add_adapter("default", config);
  fill_with_hashes(model, run.at("names"));
  std::vector<ParityRow> rows;
  for (const Json& number : run.at("order").as_array()) {
    rows.push_back(parity_row(run.at("documents").as_array().at(static_cast<std::size_t>(number.as_integer()))));
  }
  const std::vector<ParityStep> steps = train(model, run, rows);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    EXPECT_NEAR(steps[i].loss / run.at("losses").as_array().at(i).as_double(), 1, 1e-4) << "step " << i + 1;
    EXPECT_NEAR(steps[i].grad_norm / run.at("grad_norms").as_array().at(i).as_double(), 1, 1e-3) << "step " << i + 1;
  }
  expect_same_adapter(model, run);
}

}  // namespace
}  // namespace powerhouse::testing
