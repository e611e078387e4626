// DPO against trl.DPOTrainer (tests/oracles/losses/dpo.py).
#include "powerhouse/dpo_loss.h"

#include "training/losses/loss_cases.h"

namespace powerhouse::testing {
namespace {

DpoOptions dpo_options(const Json& test) {
  OptionReader reader(test);
  DpoOptions options;
  if (const Json* types = reader.find("loss_type")) {
    options.loss_type.clear();
    for (const Json& type : types->as_array()) options.loss_type.push_back(parse_dpo_loss_type(type.as_string()));
  }
  if (const Json* divergence = reader.find("f_divergence_type")) {
    options.f_divergence_type = parse_f_divergence(divergence->as_string());
  }
  reader.set(options.loss_weights, "loss_weights");
  reader.set(options.beta, "beta");
  reader.set(options.label_smoothing, "label_smoothing");
  reader.set(options.f_alpha_divergence_coef, "f_alpha_divergence_coef");
  reader.set(options.ld_alpha, "ld_alpha");
  reader.set(options.use_weighting, "use_weighting");
  reader.set(options.discopop_tau, "discopop_tau");
  reader.set(options.bco_reward_shift, "bco_reward_shift");
  return options;
}

CompletionLogProbs completions_of(const LossCase& test, const at::Tensor& log_probs) {
  CompletionLogProbs result{.token_log_probs = log_probs,
                            .cu_seqlens = offsets(test.inputs.at("counts")),
                            .entropy = json_tensor(test.inputs.at("entropy")),
                            .log_sum_sq_probs = json_tensor(test.inputs.at("log_sum_sq_probs"))};
  for (const Json& length : test.inputs.at("lengths").as_array()) result.lengths.push_back(length.as_integer());
  return result;
}

class DpoLosses : public ::testing::TestWithParam<LossCase> {};

TEST_P(DpoLosses, AreTrls) {
  const LossCase& test = GetParam();
  const DpoOptions options = dpo_options(test.test);
  const at::Tensor log_probs = leaf(test.inputs.at("policy"));
  const PairLogProbs policy = split_pairs(completions_of(test, log_probs));
  const PairLogProbs reference = split_pairs(completions_of(test, json_tensor(test.inputs.at("reference"))));
  const LossResult result = dpo_loss(policy, pair_sums(reference, options.ld_alpha), options);
  expect_loss(result, test.test);
  if (test.test.at("metrics").as_object().size() > 0) expect_metrics(result.metrics, test.test.at("metrics"));
  result.loss.backward();
  expect_gradient(log_probs, test.test.at("gradients"), "gradient");
}

INSTANTIATE_TEST_SUITE_P(, DpoLosses, ::testing::ValuesIn(loss_cases("dpo.json")), case_name);

TEST(DpoNames, AreThoseOfTrlAndTwoOfPapers) {
  for (const char* name :
       {"sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired",
        "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm", "ipo_sum", "cdpo"}) {
    EXPECT_EQ(to_string(parse_dpo_loss_type(name)), name);
  }
  for (const char* name : {"reverse_kl", "forward_kl", "js_divergence", "alpha_divergence"}) {
    EXPECT_EQ(to_string(parse_f_divergence(name)), name);
  }
}

}  // namespace
}  // namespace powerhouse::testing
