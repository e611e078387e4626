// DPO, ORPO and KTO with LoRA on the real model in float32 against TRL's own trainers
// (tests/oracles/preference_runs.py). The first adapter is a hash of (tensor, number), as in parity_smollm2_test.cpp.
#include <gtest/gtest.h>

#include <algorithm>

#include "parity.h"
#include "powerhouse/trainer.h"
#include "temporary_folder.h"
#include "training/hashed_adapter.h"

namespace powerhouse::testing {
namespace {

PreferenceOptions method_of(const std::string& name) {
  if (name == "dpo") return DpoOptions{};
  if (name == "orpo") return OrpoOptions{};
  return KtoOptions{};
}

TEST(PreferenceSmolLM2, StepsAreTrlsOnTheDequantizedModel) {
  POWERHOUSE_NEEDS_REAL_MODEL();
  const Json fixture = Json::parse_file(training_fixture("preference_smollm2.json"));
  const TemporaryFolder folder;
  const Tokenizer tokenizer = Tokenizer::from_pretrained(real_model());
  for (const Json& run : fixture.at("runs").as_array()) {
    const std::string& name = run.at("name").as_string();
    SCOPED_TRACE(name);
    std::string lines;
    for (const Json& row : fixture.at(name == "kto" ? "labelled" : "pairs").as_array()) lines += row.dump() + "\n";
    const PreferenceDataset data = PreferenceDataset::open(tokenizer, {{.path = folder.write(name + ".jsonl", lines)}},
                                                           {.unpaired = name == "kto"});
    CausalLM model = CausalLM::from_pretrained(real_model(), {.dtype = Dtype::f32});
    LoraConfig config{.rank = 8, .alpha = 16};
    for (const Json& module : fixture.at("target_modules").as_array()) {
      config.target_modules.push_back(module.as_string());
    }
    model.add_adapter("default", config);
    fill_with_hashes(model, fixture.at("names"));
    const auto& theirs = run.at("steps").as_array();
    std::size_t at = 0;
    TrainingCallbacks callbacks;
    callbacks.on_step = [&](const TrainingStep& step, TrainingControl&) {
      EXPECT_NEAR(step.loss / theirs.at(at).at("loss").as_double(), 1, 1e-3) << "step " << step.step;
      EXPECT_NEAR(step.grad_norm / theirs.at(at).at("grad_norm").as_double(), 1, 1e-2) << "step " << step.step;
      ++at;
    };
    const Json& arguments = run.at("arguments");
    Trainer(model, data, std::nullopt, method_of(name),
            {.learning_rate = arguments.at("learning_rate").as_double(),
             .max_steps = 20,
             .micro_batch_size = arguments.at("per_device_train_batch_size").as_integer(),
             .shuffle = false,
             .schedule = {.kind = ScheduleKind::constant},
             .progress = false},
            {}, callbacks)
        .train();
    EXPECT_EQ(at, theirs.size());
  }
}

}  // namespace
}  // namespace powerhouse::testing
