// What tests of distillation share: a student, teachers, and rows given as ids.
#pragma once

#include "expect_error.h"
#include "powerhouse/distillation.h"
#include "powerhouse/teacher_store.h"
#include "training/trainer_fixture.h"

namespace powerhouse::testing {

inline std::string distillation_fixture(const std::string& name) {
  return POWERHOUSE_FIXTURES "/training/distillation/" + name;
}

class DistillationTest : public TrainerTest {
 protected:
  static CausalLM teacher(Dtype dtype = Dtype::f32) {
    return CausalLM::from_pretrained(distillation_fixture("teacher"), {.dtype = dtype});
  }
  /// Another of the student's size.
  CausalLM big_teacher() {
    CausalLM model = full();  // its weights are copies, not the file's
    model.set_requires_grad(false);
    for (auto& [name, tensor] : model.named_parameters()) {
      if (name.find("norm") == std::string::npos) tensor.copy_(tensor.mul(1.3));
    }
    return model;
  }
  TrainingResult run(CausalLM& student, Teacher from, const Dataset& data, const DistillationOptions& method,
                     TrainingOptions more, TrainingCallbacks callbacks = {}) {
    return Trainer(student, std::move(from), data.train(), data.validation(), method, options(std::move(more)),
                   std::move(callbacks))
        .train();
  }
  std::vector<double> losses_of(CausalLM& student, Teacher from, const Dataset& data, const DistillationOptions& method,
                                TrainingOptions more) {
    std::vector<double> losses;
    run(student, std::move(from), data, method, std::move(more),
        {.on_step = [&](const TrainingStep& step, TrainingControl&) { losses.push_back(step.loss); }});
    return losses;
  }
};

inline void expect_near_all(const std::vector<double>& found, const std::vector<double>& expected, double relative) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i] / expected[i], 1, relative) << i;
}

}  // namespace powerhouse::testing
