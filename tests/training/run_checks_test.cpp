// Keys of run.yaml together: how often things happen, where templates come from, and settings that would do nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "expect_error.h"
#include "powerhouse/training_run.h"
#include "temporary_folder.h"
#include "training/run_config.h"
#include "training/run_options.h"
#include "training/smallest_run.h"

namespace powerhouse {
namespace {

using ::testing::ElementsAre;
using testing::expect_error;
using ::testing::HasSubstr;
using testing::parse_smallest;

TrainingRun with_held_back(const std::string& more) { return parse_smallest("val_set_size: 0.1\n" + more); }

void expect_refused(std::string_view field, const std::string& more, ErrorKind kind = ErrorKind::format) {
  expect_error(kind, field, [&] { parse_smallest(more); });
  expect_error(kind, "run.yaml", [&] { parse_smallest(more); });
}

// transformers' TrainingArguments: eval_steps is logging_steps where the strategy is steps, save_steps 500.
TEST(RunChecks, StrategiesWithoutANumberTakeTransformersDefaults) {
  const auto evaluation = [](const std::string& more) { return training_options(with_held_back(more)).evaluation; };
  const auto save = [](const std::string& more) { return training_options(parse_smallest(more)).save; };
  const auto is = [](const Cadence& cadence, double steps, std::int64_t per_epoch) {
    EXPECT_EQ(cadence.steps, steps);
    EXPECT_EQ(cadence.per_epoch, per_epoch);
  };
  is(evaluation(""), 0, 1);
  is(evaluation("eval_strategy: epoch\n"), 0, 1);
  is(evaluation("eval_strategy: no\n"), 0, 0);
  is(evaluation("eval_strategy: steps\n"), 10, 0);
  is(evaluation("eval_strategy: steps\nlogging_steps: 7\n"), 7, 0);
  is(evaluation("eval_strategy: steps\neval_steps: 20\n"), 20, 0);
  is(evaluation("evaluation_strategy: steps\neval_steps: 0.25\n"), 0.25, 0);
  is(evaluation("eval_strategy: steps\nevals_per_epoch: 4\n"), 0, 4);
  is(save(""), 0, 1);
  is(save("save_strategy: steps\n"), 500, 0);
  is(save("save_strategy: steps\nsave_steps: 3\n"), 3, 0);
  is(save("saves_per_epoch: 2\n"), 0, 2);
  is(save("save_strategy: no\n"), 0, 0);
}

TEST(RunChecks, SettingsThatWouldDoNothing) {
  const std::string held_back = "val_set_size: 0.1\n";
  for (const char* key : {"load_best_model_at_end: true\n", "early_stopping_patience: 2\n", "save_strategy: best\n"}) {
    expect_refused("eval_strategy", held_back + key + "eval_strategy: no\n");
    expect_refused("val_set_size", key);
    EXPECT_NO_THROW(with_held_back(key));
    EXPECT_NO_THROW(with_held_back(std::string(key) + "eval_strategy: steps\n"));
  }
  expect_refused("eval_steps", held_back + "eval_strategy: epoch\neval_steps: 5\n");
  expect_refused("eval_steps", held_back + "eval_strategy: no\neval_steps: 5\n");
  expect_refused("evals_per_epoch", held_back + "eval_strategy: epoch\nevals_per_epoch: 5\n");
  expect_refused("save_steps", "save_strategy: epoch\nsave_steps: 5\n");
  expect_refused("save_steps", held_back + "save_strategy: best\nsave_steps: 5\n");
  expect_refused("saves_per_epoch", "save_strategy: no\nsaves_per_epoch: 5\n");
  expect_refused("saves_per_epoch", "save_steps: 5\nsaves_per_epoch: 5\n");
  expect_refused("save_steps", "save_steps: 2.5\n");
  expect_refused("logging_steps", "logging_steps: 0\n");
  expect_refused("eval_steps", "eval_steps: 5\n");
  expect_refused("eval_strategy", "eval_strategy: steps\n");
  EXPECT_NO_THROW(parse_smallest("eval_strategy: no\n"));
  EXPECT_THAT(parse_smallest("evals_per_epoch: 4\n").notices,
              ElementsAre(HasSubstr("evals_per_epoch: no data are held back")));
  expect_refused("batch_size", "batch_size: 1\n", ErrorKind::unsupported);
}

// A list of files is one split, as a file is.
TEST(RunChecks, SplitsBesideFiles) {
  const auto sources = [](const std::string& keys) {
    return parse_training_run("base_model: m\ndatasets:\n  - {path: json, " + keys + "}\n", "run.yaml").datasets;
  };
  EXPECT_EQ(sources("data_files: [a.jsonl, b.jsonl], split: train").size(), 2u);
  expect_error(ErrorKind::unsupported, "datasets[0].split", [&] { sources("data_files: [a.jsonl], split: test"); });
}

TEST(RunChecks, OneMetricAndOneTypeOfAdapters) {
  EXPECT_NO_THROW(parse_smallest("metric_for_best_model: loss\npeft_autocast_adapter_dtype: yes\n"));
  EXPECT_NO_THROW(parse_smallest("metric_for_best_model: eval_loss\npeft_autocast_adapter_dtype:\n"));
  expect_refused("metric_for_best_model", "metric_for_best_model: accuracy\n", ErrorKind::unsupported);
  expect_refused("peft_autocast_adapter_dtype", "peft_autocast_adapter_dtype: false\n", ErrorKind::unsupported);
  expect_refused("peft_autocast_adapter_dtype", "peft_autocast_adapter_dtype: bf16\n");
}

TEST(RunChecks, WarmupIsRoundedUpAsInTransformers) {
  const auto warmup = [](const std::string& more, std::int64_t total) {
    const ScheduleOptions schedule =
        training_options(parse_smallest("lr_scheduler: constant_with_warmup\n" + more)).schedule;
    std::int64_t steps = 0;
    while (learning_rate_multiplier(schedule, steps, total) < 1) ++steps;
    return steps;
  };
  EXPECT_EQ(warmup("warmup_ratio: 0.1\n", 101), 11);
  EXPECT_EQ(warmup("warmup_ratio: 0.1\n", 3), 1);
  EXPECT_EQ(warmup("warmup_ratio: 0.5\n", 1000), 500);
  EXPECT_EQ(warmup("warmup_steps: 7\n", 1000), 7);
  EXPECT_EQ(warmup("warmup_steps: 0\n", 1000), 0);
  EXPECT_EQ(warmup("", 34), 2);
  EXPECT_EQ(warmup("", 100000), 100);
}

TEST(RunChecks, ASavedAdapterHasItsOwnOptions) {
  const TrainingRun run =
      parse_smallest("adapter: lora\nlora_model_dir: saved\nlora_r: 4\nlora_target_linear: true\nseed: 3\n");
  EXPECT_THAT(run.notices, ElementsAre(HasSubstr("lora_r: told by the adapter in lora_model_dir"),
                                       HasSubstr("lora_target_linear: told by the adapter")));
  EXPECT_TRUE(parse_smallest("adapter: lora\nlora_r: 4\n").notices.empty());
  EXPECT_TRUE(parse_smallest("adapter: lora\nlora_model_dir:\nlora_r: 4\n").notices.empty());
}

TEST(RunChecks, ABudgetOfActivations) {
  const auto bytes = [](const std::string& text) {
    return training_options(parse_smallest("activation_memory_budget: " + text + "\n")).activation_memory_budget;
  };
  EXPECT_EQ(bytes(""), 0u);
  EXPECT_EQ(bytes("0"), 0u);
  EXPECT_EQ(bytes("1000000"), 1000000u);
  EXPECT_EQ(bytes("512MiB"), std::uint64_t{512} << 20);
  EXPECT_EQ(bytes("1.5 GiB"), std::uint64_t{3} << 29);
  EXPECT_EQ(bytes("2GB"), 2000000000u);
  EXPECT_EQ(bytes("64 KiB"), 65536u);
  for (const char* wrong : {"lots", "-1", "5 miles", "MiB", "1e99GiB", "[1]", "nan"}) {
    expect_refused("activation_memory_budget", std::string("activation_memory_budget: ") + wrong + "\n");
  }
  expect_refused("activation_memory_budget", "activation_memory_budget: 1GiB\ngradient_checkpointing: true\n");
}

TEST(RunChecks, TemplatesAreSourcesOrFiles) {
  const testing::TemporaryFolder folder;
  const std::string source = R"({{ messages[0]["content"] }})", path = folder.write("t.jinja", source);
  EXPECT_EQ(chat_template_source("", ""), "");
  EXPECT_EQ(chat_template_source("tokenizer_default", ""), "tokenizer_default");
  EXPECT_EQ(chat_template_source("chatml", ""), "chatml");
  EXPECT_EQ(chat_template_source("jinja", source), source);
  EXPECT_EQ(chat_template_source("", path), source);
  EXPECT_EQ(dataset_options(parse_smallest("chat_template_jinja: " + path + "\n")).chat_template, source);
  // Read once: a run trains with what was checked.
  const std::string passing = folder.write("passing.jinja", source);
  const TrainingRun read = parse_smallest("chat_template: jinja\nchat_template_jinja: " + passing + "\n");
  folder.write("passing.jinja", "{{ other }}");
  EXPECT_EQ(dataset_options(read).chat_template, source);
  const auto entry = [&](const std::string& keys) {
    return parse_training_run("base_model: m\ndatasets:\n  - {path: d.jsonl, " + keys + "}\n", "run.yaml").datasets[0];
  };
  EXPECT_EQ(entry("chat_template: jinja, chat_template_jinja: " + path).chat_template, source);
  EXPECT_EQ(entry("chat_template_jinja: " + path).chat_template, source);
  EXPECT_EQ(entry("chat_template_jinja: '" + source + "'").chat_template, source);
  EXPECT_EQ(entry("chat_template: tokenizer_default").chat_template, "tokenizer_default");
  for (const char* field : {"datasets[0].chat_template_jinja", "run.yaml:3"}) {
    expect_error(ErrorKind::format, field, [&] { entry("chat_template: jinja"); });
    expect_error(ErrorKind::format, field, [&] { entry("chat_template: chatml, chat_template_jinja: " + path); });
    expect_error(ErrorKind::not_found, field, [&] { entry("chat_template_jinja: absent.jinja"); });
  }
  expect_error(ErrorKind::not_found, "absent.jinja", [&] { entry("chat_template_jinja: absent.jinja"); });
  expect_error(ErrorKind::not_found, "absent.jinja", [&] { parse_smallest("chat_template_jinja: absent.jinja\n"); });
  expect_refused("chat_template_jinja", "chat_template: jinja\n");
  expect_refused("chat_template: chat format", "chat_template: chatmll\n", ErrorKind::not_found);
  const std::string broken = folder.write("broken.jinja", "{% for m in messages %}{{ m.role }");
  for (const std::string& told :
       {std::string("datasets[0].chat_template_jinja: "), broken + ": chat template, line 1"}) {
    expect_error(ErrorKind::format, told, [&] { entry("chat_template_jinja: " + broken); });
  }
  expect_refused("chat_template_jinja", "chat_template: chatml\nchat_template_jinja: " + path + "\n");
}

}  // namespace
}  // namespace powerhouse
