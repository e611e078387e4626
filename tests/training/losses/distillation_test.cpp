// Distillation against trl.GKDTrainer and torch (tests/oracles/losses/distillation.py).
#include "powerhouse/distillation_losses.h"

#include "training/losses/loss_cases.h"

namespace powerhouse::testing {
namespace {

std::vector<LossCase> whole_cases(bool hidden) {
  std::vector<LossCase> result;
  for (LossCase& test : loss_cases("distillation.json")) {
    if ((test.name() == "hidden") == hidden) result.push_back(std::move(test));
  }
  return result;
}

class Divergences : public ::testing::TestWithParam<LossCase> {};

TEST_P(Divergences, AreTrls) {
  const LossCase& test = GetParam();
  DistillOptions options;
  {
    OptionReader reader(test.test);
    reader.set(options.beta, "beta");
    reader.set(options.temperature, "temperature");
    reader.set(options.scale_by_temperature_squared, "scale_by_temperature_squared");
  }
  const at::Tensor student = leaf(test.inputs.at("student")), teacher = json_tensor(test.inputs.at("teacher"));
  const std::int64_t items = test.test.at("items").as_integer();
  const LossResult result = distillation_loss(student.view({6, -1}), teacher.view({6, -1}), options, items);
  expect_loss(result, test.test);
  expect_metrics(result.metrics, test.test.at("metrics"));
  result.loss.backward();
  expect_gradient(student, test.test.at("gradients"), "gradient");

  // Rows by chunks add up to the same.
  const double divisor = static_cast<double>(items > 0 ? items : 6);
  double total = 0;
  for (const std::int64_t first : {0, 2, 4}) {
    total += distillation_loss(student.detach().view({6, -1}).narrow(0, first, 2),
                               teacher.view({6, -1}).narrow(0, first, 2), options, static_cast<std::int64_t>(divisor))
                 .loss.item<double>();
  }
  EXPECT_NEAR(total, test.test.at("loss").as_double(), 1e-6);
}

INSTANTIATE_TEST_SUITE_P(, Divergences, ::testing::ValuesIn(whole_cases(false)), case_name);

TEST(HiddenStates, AreComparedByTheirMeanSquare) {
  const Json test = whole_cases(true).at(0).test;
  const at::Tensor student = leaf(test.at("student")), projection = leaf(test.at("projection"));
  const at::Tensor teacher = json_tensor(test.at("teacher")).view({4, 5});
  const at::Tensor loss = hidden_state_loss(student.view({4, 3}), teacher, projection.view({5, 3}));
  expect_close(loss, std::vector{test.at("loss").as_double()}, "loss");
  loss.backward();
  expect_gradient(student, test.at("gradients"), "gradient");
  expect_gradient(projection, test.at("projection_gradients"), "gradient of the projection");
  EXPECT_EQ(hidden_state_loss(teacher, teacher, {}).item<double>(), 0);
}

}  // namespace
}  // namespace powerhouse::testing
