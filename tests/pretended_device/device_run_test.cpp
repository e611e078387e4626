// Whole programs on a device: text that is generated, and runs of training from their YAML.
#include <limits>

#include "device_fixture.h"
#include "powerhouse/generation.h"
#include "powerhouse/log.h"
#include "powerhouse/session.h"
#include "powerhouse/trainer.h"
#include "powerhouse/training_run.h"
#include "training/tiny_run.h"

namespace powerhouse::pretended_device {
namespace {

class DeviceRun : public OnDevice {
 protected:
  CausalLM model(const char* device) const {
    return CausalLM::from_pretrained(path_, {.dtype = Dtype::f32, .device = parse_device(device)});
  }

  TrainingResult train_on(const char* device, const std::vector<std::string>& overrides) {
    const std::string yaml = "base_model: " + path_ + "\nbf16: false\nlearning_rate: 1e-3\nadam_epsilon: 1e-3\n" +
                             "micro_batch_size: 2\nmax_steps: 3\nseed: 3\nlr_scheduler: constant\noutput_dir: " +
                             folder_.file(std::string("out_") + device) +
                             "\ndatasets:\n  - path: " + folder_.write("rows.jsonl", testing::completion_lines(12)) +
                             "\n    type: completion\n";
    TrainingRun run = parse_training_run(yaml, "run.yaml", overrides);
    run.device = parse_device(device);
    return train(run);
  }

  // The model has more ids than the tokenizer.
  static void known(std::span<float> logits, const LogitsContext& /*context*/) {
    std::fill(logits.begin() + 73, logits.end(), -std::numeric_limits<float>::infinity());
  }

  DeviceRun() {
    set_log_sink([](LogLevel, std::string_view) {});
  }
  ~DeviceRun() override { set_log_sink({}); }

  testing::TemporaryFolder folder_;
  std::string path_ = testing::write_tiny_model(folder_);
};

TEST_F(DeviceRun, GeneratesTheSameTokens) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(path_);
  const CausalLM here = model("cpu"), far = model("cuda");
  for (const float temperature : {0.0f, 1.0f}) {
    const GenerationOptions options{.max_new_tokens = 24,
                                    .temperature = temperature,
                                    .top_k = 20,
                                    .seed = 5,
                                    .ignore_eos = true,
                                    .processors = {known}};
    const int before = launches();
    const GenerationResult found = generate(far, tokenizer, "a0a1a2 b", options);
    EXPECT_GT(launches(), before + 24 * 8);
    EXPECT_EQ(found.ids, generate(here, tokenizer, "a0a1a2 b", options).ids);
    EXPECT_EQ(found.ids.size(), 24u);
  }
}

TEST_F(DeviceRun, TrainsAsTheCpuDoes) {
  const std::vector<std::string> lora{"adapter=lora", "lora_target_linear=true", "lora_dropout=0.1"};
  const std::vector<std::string> full{"val_set_size=4", "max_grad_norm=0.5"};
  const std::vector<std::string> eight_bits{"optimizer=adamw_bnb_8bit", "gradient_checkpointing=true"};
  for (const auto& overrides : {lora, full, eight_bits}) {
    const TrainingResult expected = train_on("cpu", overrides);
    const int before = launches();
    const TrainingResult found = train_on("cuda", overrides);
    EXPECT_GT(launches(), before);
    EXPECT_EQ(found.steps, 3);
    EXPECT_NEAR(found.loss, expected.loss, 1e-3);
    ASSERT_EQ(found.final_eval_loss.has_value(), expected.final_eval_loss.has_value());
    EXPECT_NEAR(found.final_eval_loss.value_or(0), expected.final_eval_loss.value_or(0), 1e-3);
  }
}

TEST_F(DeviceRun, LearnsPreferencesAsTheCpuDoes) {
  std::string pairs;
  for (const char* letter : {"a", "b", "c", "d"}) {
    pairs += std::string(R"({"prompt": ")") + letter + R"(", "chosen": ")" + letter + letter +
             R"(", "rejected": "xyz"})" + "\n";
  }
  folder_.write("pairs.jsonl", pairs);
  const std::vector<std::string> overrides{"rl=dpo", "adapter=lora", "lora_target_linear=true",
                                           "datasets=[{path: " + folder_.file("pairs.jsonl") + "}]"};
  const TrainingResult expected = train_on("cpu", overrides), found = train_on("cuda", overrides);
  EXPECT_NEAR(found.loss, expected.loss, 1e-3);
}

TEST_F(DeviceRun, LearnsFromATeacherAsTheCpuDoes) {
  const std::string teacher = folder_.file("teacher");
  {
    const CausalLM model = CausalLM::from_pretrained(path_, {.dtype = Dtype::f32});
    for (auto& [name, tensor] : model.named_parameters()) tensor.mul_(1.2);
    model.save_pretrained(teacher);
  }
  const std::vector<std::string> live{"rl=distill", "teacher_model=" + teacher, "kd_alpha=0.5"};
  std::vector<std::string> stored = live;
  stored.insert(stored.end(), {"kd_top_k=8", "kd_cache_dir=" + folder_.file("store")});
  for (const auto& overrides : {live, stored}) {
    const TrainingResult expected = train_on("cpu", overrides), found = train_on("cuda", overrides);
    EXPECT_NEAR(found.loss, expected.loss, 1e-3);
  }
}

TEST_F(DeviceRun, LearnsFromItsOwnTextsAsTheCpuDoes) {
  std::string prompts;
  for (int i = 0; i < 8; ++i) prompts += R"({"prompt": "say )" + std::to_string(i) + ":\"}\n";
  std::vector<std::string> overrides{"rl=grpo",
                                     "adapter=lora",
                                     "lora_target_linear=true",
                                     "num_generations=4",
                                     "micro_batch_size=4",
                                     "max_completion_length=6",
                                     "reward_model_path=" POWERHOUSE_FIXTURES "/training/judge",
                                     "datasets=[{path: " + folder_.write("prompts.jsonl", prompts) + "}]"};
  for (const char* method : {"rl=grpo", "rl=ppo"}) {
    overrides.front() = method;
    const TrainingResult expected = train_on("cpu", overrides), found = train_on("cuda", overrides);
    EXPECT_EQ(found.steps, 3);
    EXPECT_NEAR(found.loss, expected.loss, 1e-3);
  }
}

}  // namespace
}  // namespace powerhouse::pretended_device
