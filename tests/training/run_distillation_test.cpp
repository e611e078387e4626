// rl: distill in a run's YAML.
#include <filesystem>

#include "powerhouse/teacher_completions.h"
#include "powerhouse/training_run.h"
#include "training/distillation_fixture.h"

namespace powerhouse::testing {
namespace {

class DistillationRunTest : public DistillationTest {
 protected:
  std::string yaml(const std::string& more) {
    const std::string rows = folder_.write("rows.jsonl", completion_lines(24));
    return "base_model: " + path_ + "\ndatasets:\n  - path: " + rows + "\n    type: completion\nsequence_len: 64\n" +
           "val_set_size: 0.2\nbf16: false\nmicro_batch_size: 4\nlearning_rate: 5e-3\nnum_epochs: 4\n" +
           "output_dir: " + folder_.file("out") + "\n" + more;
  }
  std::string distill(const std::string& more = {}) {
    return yaml("rl: distill\nteacher_model: " + distillation_fixture("teacher") + "\n" + more);
  }
  std::vector<double> evaluations(const std::string& text) {
    train(parse_training_run(text, "run.yaml"));
    std::vector<double> out;
    for (const Json& row : read_rows(folder_.file("out") + "/train_log.jsonl")) {
      if (const Json* loss = row.get("eval_loss")) out.push_back(loss->as_double());
    }
    return out;
  }
};

TEST_F(DistillationRunTest, LearnsFromATeacher) {
  const std::vector<double> losses = evaluations(distill("kd_beta: 0\nkd_alpha: 0.9\nkd_temperature: 1.5\n"));
  ASSERT_GE(losses.size(), 2u);
  EXPECT_LT(losses.back(), 0.7 * losses.front());
  EXPECT_TRUE(std::filesystem::exists(folder_.file("out") + "/model.safetensors"));
}

TEST_F(DistillationRunTest, AsksTheTeacherOnceForAStore) {
  const std::string text = distill("kd_top_k: 8\nbeta: 0.5\nkd_cache_dir: " + folder_.file("cache") + "\n");
  const std::vector<double> losses = evaluations(text);
  EXPECT_LT(losses.back(), losses.front());
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.file("cache"))) {
    EXPECT_EQ(TeacherStore::open(entry.path().string()).top_k(), 8);
    ++files;
  }
  EXPECT_EQ(files, 1);
}

TEST_F(DistillationRunTest, WhatMakesNoSenseIsRefused) {
  const auto refused = [&](const char* field, const std::string& text) {
    expect_error(ErrorKind::format, field, [&] { parse_training_run(text, "run.yaml"); });
  };
  refused("teacher_model", yaml("rl: distill\n"));
  refused("teacher_model", yaml("teacher_model: x\n"));
  refused("kd_alpha", yaml("kd_alpha: 0.5\n"));
  refused("kd_top_k", yaml("kd_top_k: 5\n"));
  refused("teacher_model", yaml("rl: distill\nteacher_model: " + path_ + "\n"));
  refused("kd_alpha", distill("kd_alpha: 0\n"));
  refused("rl_beta", distill("beta: 1.5\n"));
  refused("kd_temperature", distill("kd_temperature: 0\n"));
  refused("kd_top_k", distill("kd_top_k: 5\nuse_uld_loss: true\n"));
  refused("kd_cache_dir", distill("kd_cache_dir: x\n"));
  refused("kd_hidden_state_weight", distill("kd_hidden_state_weight: 1\nkd_top_k: 4\n"));
  expect_error(ErrorKind::unsupported, "lmbda", [&] { parse_training_run(distill("lmbda: 0.5\n"), "run.yaml"); });
}

TEST_F(DistillationRunTest, TheTeachersCompletionsAreADataset) {
  const CausalLM model = CausalLM::from_pretrained(distillation_fixture("other"), {.dtype = Dtype::f32});
  const Tokenizer own = Tokenizer::from_pretrained(distillation_fixture("other"));
  const std::vector<std::string> prompts{"ab", "cd", "ef"};
  const std::string path = folder_.file("completions.jsonl");
  const TeacherCompletionOptions options{.generation = {.max_new_tokens = 6, .temperature = 1, .seed = 5},
                                         .keep_unfinished = true};
  const std::int64_t rows = write_teacher_completions(model, own, prompts, path, options);
  ASSERT_GT(rows, 0);
  EXPECT_EQ(Dataset::open(own, {{.path = path}}).size(), rows);
  const std::string before = read_rows(path).at(0).dump();
  write_teacher_completions(model, own, prompts, path, options);
  EXPECT_EQ(read_rows(path).at(0).dump(), before);  // the same seed, the same text
  expect_error(ErrorKind::usage, "prompts", [&] { write_teacher_completions(model, own, {}, path); });
}

}  // namespace
}  // namespace powerhouse::testing
