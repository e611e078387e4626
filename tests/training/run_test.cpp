// Whole runs from YAML: what they leave, and what a person who asks for the impossible is told before anything is lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <limits>

#include "expect_error.h"
#include "powerhouse/data_loader.h"
#include "powerhouse/log.h"
#include "powerhouse/tensor_file.h"
#include "powerhouse/trainer.h"
#include "powerhouse/training_run.h"
#include "support/folder_lock.h"
#include "training/checkpoint.h"
#include "training/tiny_run.h"

namespace powerhouse {
namespace {

namespace fs = std::filesystem;
using testing::expect_error;
using ::testing::HasSubstr;

class RunTest : public ::testing::Test {
 protected:
  RunTest() : path_(testing::write_tiny_model(folder_)) {
    folder_.write("rows.jsonl", testing::completion_lines(12));
    set_log_sink([this](LogLevel level, std::string_view text) {
      if (level == LogLevel::warning) warnings_ += std::string(text) + "\n";
    });
  }
  ~RunTest() override { set_log_sink({}); }

  TrainingResult run(const std::vector<std::string>& overrides) {
    const std::string yaml = "base_model: " + path_ + "\nadapter: lora\nlora_target_linear: true\nbf16: false\n" +
                             "micro_batch_size: 2\noutput_dir: " + out_ +
                             "\ndatasets:\n  - path: " + folder_.file("rows.jsonl") + "\n    type: completion\n";
    warnings_.clear();
    return train(parse_training_run(yaml, "run.yaml", overrides));
  }
  void refused(ErrorKind kind, std::string_view mentions, const std::vector<std::string>& overrides) {
    expect_error(kind, mentions, [&] { run(overrides); });
    EXPECT_FALSE(fs::exists(out_ + "/adapter_model.safetensors")) << mentions;
  }

  testing::TemporaryFolder folder_;
  std::string path_;
  std::string out_ = folder_.file("out");
  std::string warnings_;
};

TEST_F(RunTest, HeldBackRowsMustBeThere) {
  refused(ErrorKind::usage, "val_set_size: no row is left to train on", {"val_set_size=12"});
  folder_.write("empty.jsonl", "{\"text\": \"\"}\n{\"text\": \"\"}\n");
  refused(ErrorKind::usage, "test_datasets: no held-back row can be evaluated",
          {"test_datasets=[{path: " + folder_.file("empty.jsonl") + ", type: completion}]"});
}

TEST_F(RunTest, TemplatesNameTheirKey) {
  refused(ErrorKind::not_found, "chat_template: chat format: no chat format", {"chat_template=chatmll"});
  const std::string absent = folder_.file("absent.jinja");
  refused(ErrorKind::not_found, absent, {"chat_template=jinja", "chat_template_jinja=" + absent});
  const std::string broken = folder_.write("broken.jinja", "{% for m in messages %}{{ m.role }");
  refused(ErrorKind::format, "datasets[0].chat_template_jinja", {"datasets.0.chat_template=jinja"});
  folder_.write("rows.jsonl",
                R"({"messages": [{"role": "user", "content": "ab"}, {"role": "assistant", "content": "cd"}]})");
  const std::string good = folder_.write("good.jinja", "{% for m in messages %}{{ m.content }}{% endfor %}");
  run({"datasets.0.type=chat_template", "datasets.0.chat_template_jinja=" + good, "output_dir=" + folder_.file("o")});
  refused(ErrorKind::format, broken + ": chat template, line 1, column 34",
          {"chat_template=jinja", "chat_template_jinja=" + broken});
}

TEST_F(RunTest, RowsLongerThanTheContextAreToldBeforeTheFirstStep) {
  folder_.write("rows.jsonl", "{\"text\": \"ab\"}\n{\"text\": \"" + std::string(100, 'a') + "\"}\n");
  refused(ErrorKind::range, "sequence_len: rows longer than the model's context (expected at most 64, found 101)", {});
  EXPECT_FALSE(fs::exists(out_));
  EXPECT_EQ(run({"sequence_len=64"}).end, TrainingEnd::finished);
}

TEST_F(RunTest, TrueResumesOrSaysThatItCannot) {
  refused(ErrorKind::not_found, "resume_from_checkpoint: no whole checkpoint", {"resume_from_checkpoint=true"});
  EXPECT_EQ(run({"auto_resume_from_checkpoints=true"}).steps, 6);
  EXPECT_EQ(run({"resume_from_checkpoint=true", "num_epochs=2"}).steps, 12);
}

// The evaluation before the first step is part of checkpoint-0: another one would be no better, and end the run.
TEST_F(RunTest, TheFirstEvaluationIsNotMadeAgain) {
  const std::vector<std::string> options = {"val_set_size=3", "save_strategy=best", "early_stopping_patience=1"};
  const TrainingResult whole = run(options);
  ASSERT_TRUE(fs::exists(out_ + "/checkpoint-0"));
  std::vector<std::string> again = options;
  again.push_back("resume_from_checkpoint=" + out_ + "/checkpoint-0");
  const TrainingResult resumed = run(again);
  EXPECT_EQ(resumed.end, whole.end);
  EXPECT_EQ(resumed.steps, whole.steps);
}

// What the tensors of a checkpoint do not tell.
TEST_F(RunTest, AnotherRunDoesNotGoOnFromACheckpoint) {
  run({"num_epochs=1"});
  const std::vector<std::pair<std::string, std::string>> others = {{"lora_alpha=24", "lora_alpha"},
                                                                   {"peft_use_rslora=true", "use_rslora"},
                                                                   {"gradient_accumulation_steps=2", "other steps"}};
  for (const auto& [option, mentions] : others) {
    expect_error(ErrorKind::usage, mentions, [&] {
      run({"num_epochs=2", "resume_from_checkpoint=" + out_ + "/checkpoint-6", option});
    });
  }
  std::vector<NamedTensor> tensors = load_safetensors(path_ + "/model.safetensors");
  for (auto& [name, tensor] : tensors) tensor = tensor.mul(1.5);
  const std::string other = folder_.file("other");
  fs::copy(path_, other);
  save_safetensors(other + "/model.safetensors", tensors);
  expect_error(ErrorKind::usage, "another base model", [&] {
    run({"num_epochs=2", "resume_from_checkpoint=" + out_ + "/checkpoint-6", "base_model=" + other});
  });
  EXPECT_EQ(run({"num_epochs=2", "resume_from_checkpoint=" + out_ + "/checkpoint-6", "learning_rate=1e-5"}).steps, 12);
}

// An epsilon of 0 divides 0 by 0 in the first step.
TEST_F(RunTest, WeightsThatAreNotFiniteAreNotWritten) {
  refused(ErrorKind::numeric, "not finite", {"adam_epsilon=0", "save_steps=1"});
  EXPECT_TRUE(list_checkpoints(out_).empty());
  EXPECT_THAT(warnings_, HasSubstr("step 1: no checkpoint"));
}

TEST_F(RunTest, ARunOfSkippedStepsAloneIsAnError) {
  std::vector<NamedTensor> tensors = load_safetensors(path_ + "/model.safetensors");
  for (auto& [name, tensor] : tensors) tensor = tensor.mul(std::numeric_limits<float>::quiet_NaN());
  fs::remove(path_ + "/model.safetensors");
  save_safetensors(path_ + "/model.safetensors", tensors);
  refused(ErrorKind::numeric, "no step could be applied", {"max_steps=2"});
}

TEST_F(RunTest, TwoRunsDoNotShareAFolder) {
  const std::string unfinished = folder_.file("out/.checkpoint-3.writing-" + std::to_string(::getpid()));
  fs::create_directories(unfinished);
  {
    FolderLock other;
    other.take(out_);
    refused(ErrorKind::usage, "output_dir: another run", {});
    EXPECT_TRUE(fs::exists(unfinished)) << "it is the other's";
  }
  EXPECT_EQ(run({}).end, TrainingEnd::finished);
}

TEST_F(RunTest, EndlessPlansAreRefused) {
  refused(ErrorKind::usage, "epochs", {"num_epochs=1e15"});
  refused(ErrorKind::usage, "max_steps", {"max_steps=1000000000000"});
}

// They are saved with what was trained, for what reads the folder: with an adapter, and with the model.
TEST_F(RunTest, SpecialTokensAreTheTokenizersFromThenOn) {
  Json tokenizer = Json::parse_file(path_ + "/tokenizer.json");
  Json end = tokenizer.at("added_tokens").as_array()[0];
  const auto id = static_cast<std::int64_t>(Tokenizer::from_pretrained(path_).vocab_size());
  end.as_object()["content"] = "<end>";
  end.as_object()["id"] = id;
  tokenizer.as_object().find("added_tokens")->as_array().push_back(end);
  folder_.write("model/tokenizer.json", tokenizer.dump());
  refused(ErrorKind::not_found, "special_tokens.eos_token: the vocabulary has no such token",
          {"special_tokens.eos_token=<stop>"});
  refused(ErrorKind::unsupported, "special_tokens.eos_token: not a special token", {"special_tokens.eos_token=a"});
  for (const std::string adapter : {"lora", "none"}) {
    out_ = folder_.file(adapter);
    run({"max_steps=1", "adapter=" + adapter, "special_tokens={eos_token: <end>, pad_token: <end>}"});
    for (const std::string& folder : {out_, out_ + "/checkpoint-1"}) {
      const Tokenizer saved = Tokenizer::from_pretrained(folder);
      EXPECT_EQ(saved.eos_token_id(), id);
      EXPECT_EQ(saved.pad_token_id(), id);
      EXPECT_EQ(saved.encode("ab").size(), 2u);
      EXPECT_THAT(saved.special_tokens_json(), HasSubstr(R"("eos_token":"<end>")"));
    }
    if (adapter == "lora") continue;
    const Json config = Json::parse_file(out_ + "/config.json");
    EXPECT_EQ(config.at("eos_token_id").as_integer(), id);
    EXPECT_EQ(config.at("pad_token_id").as_integer(), id);
  }
  // Texts end with it.
  const Tokenizer own = Tokenizer::from_pretrained(path_, std::vector<SpecialToken>{{"eos_token", "<end>"}});
  const Dataset data = Dataset::open(own, {{.path = folder_.file("rows.jsonl"), .type = "completion"}}, {});
  const auto batch = DataLoader(data.train(), {}).next();
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->input_ids.back(), id);
  expect_error(ErrorKind::usage, "special_tokens.end_token", [&] {
    Tokenizer::from_pretrained(path_, std::vector<SpecialToken>{{"end_token", "<end>"}});
  });
}

TEST_F(RunTest, LinearLayersAndWhatElseIsNamed) {
  run({"max_steps=1", "lora_target_modules=[lm_head, nope]", "lora_modules_to_save=[nowhere]",
       "lora_rank_pattern={never: 3}"});
  bool head = false, query = false;
  for (const auto& [name, tensor] : load_safetensors(out_ + "/adapter_model.safetensors")) {
    head = head || name.find("lm_head.lora_A") != std::string::npos;
    query = query || name.find("q_proj.lora_A") != std::string::npos;
  }
  EXPECT_TRUE(head && query);
  EXPECT_THAT(warnings_, HasSubstr("target_modules: nope fits nothing"));
  EXPECT_THAT(warnings_, HasSubstr("modules_to_save: nowhere fits nothing"));
  EXPECT_THAT(warnings_, HasSubstr("rank_pattern: never fits nothing"));
}

}  // namespace
}  // namespace powerhouse
