// KTO against trl.KTOTrainer (tests/oracles/losses/kto.py).
#include "powerhouse/preference_losses.h"
#include "training/losses/loss_cases.h"

namespace powerhouse::testing {
namespace {

class KtoLosses : public ::testing::TestWithParam<LossCase> {};

TEST_P(KtoLosses, AreTrls) {
  const LossCase& test = GetParam();
  KtoOptions options;
  {
    OptionReader reader(test.test);
    reader.set(options.beta, "beta");
    reader.set(options.desirable_weight, "desirable_weight");
    reader.set(options.undesirable_weight, "undesirable_weight");
    if (const Json* type = reader.find("loss_type")) options.loss_type = parse_kto_loss_type(type->as_string());
  }
  const at::Tensor log_probs = leaf(test.inputs.at("policy"));
  const CompletionLogProbs policy{.token_log_probs = log_probs,
                                  .cu_seqlens = offsets(test.inputs.at("counts")),
                                  .entropy = json_tensor(test.inputs.at("entropy"))};
  std::vector<bool> desirable;
  for (const Json& label : test.inputs.at("labels").as_array()) desirable.push_back(label.as_integer() != 0);
  at::Tensor kl;
  if (options.loss_type == KtoLossType::kto) {
    kl = kto_kl(leaf(test.test.at("kl_policy")), json_tensor(test.test.at("kl_reference")));
    EXPECT_FALSE(kl.requires_grad());
  }
  const LossResult result = kto_loss(policy, json_tensor(test.test.at("reference_sums")), desirable, kl, options);
  expect_loss(result, test.test);
  result.loss.backward();
  if (test.test.at("metrics").as_object().size() > 0) {
    expect_metrics(result.metrics, test.test.at("metrics"));
    expect_gradient(log_probs, test.test.at("gradients"), "gradient");
  } else {  // a reference that is NaN: TRL's loss leaves the row out, its gradient does not
    EXPECT_EQ(metric(result.metrics, "skipped"), 1);
    EXPECT_TRUE(log_probs.grad().isfinite().all().item<bool>());
    const std::vector<std::int64_t>& at = policy.cu_seqlens;
    EXPECT_EQ(log_probs.grad().narrow(0, at[2], at[3] - at[2]).abs().max().item<double>(), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(, KtoLosses, ::testing::ValuesIn(loss_cases("kto.json")), case_name);

}  // namespace
}  // namespace powerhouse::testing
