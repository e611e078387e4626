// Whole programs on a device: text that is generated, and runs of training from their YAML.
#include <limits>

#include "device_fixture.h"
#include "expect_error.h"
#include "generation/sampling_chain.h"
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

// Without a processor tokens are drawn where the logits are: the CPU's, unless a number falls where shares meet.
TEST_F(DeviceRun, DrawsTheSameTokens) {
  const CausalLM here = model("cpu"), far = model("cuda");
  const std::vector<std::int64_t> prompt{5, 9, 2, 11, 3};
  for (const TokenDraw& draw :
       {TokenDraw{}, TokenDraw{.temperature = 0.9f, .seed = 3},
        TokenDraw{.temperature = 1.3f, .top_k = 12, .top_p = 0.9f, .min_p = 0.02f, .seed = 4}}) {
    const GenerationOptions options{
        .temperature = draw.temperature, .top_k = draw.top_k, .top_p = draw.top_p, .min_p = draw.min_p};
    Session session(far), plain(here);
    const SequenceId a = session.create(), b = session.create(), on_cpu = plain.create();
    std::vector<std::int64_t> ids = prompt;
    for (std::uint64_t place = 0; place < 12; ++place) {
      const std::vector<std::int64_t> last{ids.back()};
      const auto rest = place == 0 ? std::span<const std::int64_t>(ids) : std::span<const std::int64_t>(last);
      TokenDraw own = draw, other = draw;
      own.counter = place;
      other.seed += 100;
      const SequenceInput both[] = {{b, rest}, {a, rest}};
      const TokenDraw draws[] = {other, own};
      const std::vector<std::int64_t> found = session.draw(both, draws);
      ASSERT_EQ(found.size(), 2u);
      at::Tensor row = plain.forward(on_cpu, rest).contiguous();
      const std::span<float> values(row.data_ptr<float>(), static_cast<std::size_t>(row.numel()));
      const std::int64_t expected =
          SamplingChain(options, {.vocab_size = std::ssize(values)})
              .choose(values, {.ids = ids, .prompt_length = std::ssize(prompt), .seed = draw.seed});
      EXPECT_EQ(found[1], expected) << "temperature " << draw.temperature << ", place " << place;
      ids.push_back(expected);
    }
  }
}

TEST_F(DeviceRun, DrawsSayWhatIsWrong) {
  CausalLM far = model("cuda");
  Session session(far), plain(model("cpu"));
  const std::vector<std::int64_t> ids{1, 2};
  const SequenceInput input{session.create(), ids}, here{plain.create(), ids};
  const TokenDraw draw{};
  EXPECT_FALSE(plain.can_draw());
  testing::expect_error(ErrorKind::unsupported, "device", [&] { plain.draw({&here, 1}, {&draw, 1}); });
  testing::expect_error(ErrorKind::usage, "draws", [&] { session.draw({&input, 1}, {}); });
  {
    const c10::AutoGradMode off(false);
    far.parameter("model.norm.weight").fill_(std::numeric_limits<float>::quiet_NaN());
  }
  testing::expect_error(ErrorKind::numeric, "final_norm", [&] { session.draw({&input, 1}, {&draw, 1}); });
  EXPECT_EQ(session.length(input.sequence), 0);
}

TEST_F(DeviceRun, GeneratesWithoutLogitsOnTheHost) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(path_);
  const CausalLM here = model("cpu"), far = model("cuda");
  std::vector<std::int64_t> prompt{5, 9, 2, 11, 3};
  int compared = 0;
  for (std::uint64_t seed = 0; seed < 24; ++seed) {
    const GenerationOptions options{
        .max_new_tokens = 6, .temperature = 0.8f, .top_k = 20, .seed = seed, .ignore_eos = true};
    const auto run = [&](const CausalLM& model) {
      Session session(model);
      return generate(session, session.create(), tokenizer, prompt, options).ids;
    };
    std::vector<std::int64_t> expected;
    try {
      expected = run(here);
    } catch (const Error&) {  // the model has more ids than the tokenizer
      continue;
    }
    EXPECT_EQ(run(far), expected) << seed;
    ++compared;
  }
  EXPECT_GT(compared, 2);
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
