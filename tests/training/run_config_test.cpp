// run.yaml: the four classes of keys, types and bounds with their lines, overrides, and the printed defaults.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "expect_error.h"
#include "powerhouse/training_run.h"
#include "temporary_folder.h"
#include "training/run_config.h"
#include "training/smallest_run.h"

namespace powerhouse {
namespace {

using ::testing::ElementsAre;
using testing::expect_error;
using ::testing::HasSubstr;
using ::testing::Pair;
using testing::parse_smallest;

TEST(RunConfig, ReadsAxolotlsExample) {
  const TrainingRun run = parse_training_run(R"(
base_model: NousResearch/Llama-3.2-1B
load_in_8bit: false
load_in_4bit: true
datasets:
  - path: data.jsonl
    type: alpaca
  - path: chats.json
    type: chat_template
    field_messages: conversations
    message_property_mappings: {role: from, content: value}
    roles: {assistant: [gpt, model], user: [human]}
    roles_to_train: [assistant]
    train_on_eos: last
dataset_prepared_path: last_run_prepared
val_set_size: 0.1
output_dir: ./outputs/qlora-out
adapter: qlora
lora_model_dir:
sequence_len: 2048
sample_packing: true
eval_sample_packing: false
lora_r: 32
lora_alpha: 16
lora_dropout: 0.05
lora_target_modules:
  - q_proj
  - v_proj
wandb_project:
wandb_entity: someone
gradient_accumulation_steps: 4
micro_batch_size: 2
num_epochs: 1.5
optimizer: adamw_bnb_8bit
lr_scheduler: cosine
learning_rate: 2e-4
bf16: auto
tf32: false
gradient_checkpointing: unsloth
resume_from_checkpoint:
logging_steps: 1
flash_attention: true
warmup_ratio: 0.1
evals_per_epoch: 4
saves_per_epoch: 1
weight_decay: 0.0
deepspeed:
fsdp:
fsdp_config:
special_tokens:
  pad_token: "<|end_of_text|>"
)",
                                             "run.yaml");
  EXPECT_EQ(run.base_model, "NousResearch/Llama-3.2-1B");
  EXPECT_TRUE(run.load_in_4bit);
  EXPECT_EQ(run.adapter, "qlora");
  ASSERT_EQ(run.datasets.size(), 2u);
  EXPECT_EQ(run.datasets[0].type, "alpaca");
  EXPECT_EQ(run.datasets[1].field_messages, "conversations");
  EXPECT_THAT(run.datasets[1].message_property_mappings, ElementsAre(Pair("role", "from"), Pair("content", "value")));
  EXPECT_THAT(run.datasets[1].roles[0].second, ElementsAre("gpt", "model"));
  EXPECT_EQ(run.datasets[1].train_on_eos, TrainOnEos::last);
  EXPECT_EQ(run.val_set_size, 0.1);
  EXPECT_EQ(run.lora_r, 32);
  EXPECT_EQ(run.lora_alpha, 16);
  EXPECT_THAT(run.lora_target_modules, ElementsAre("q_proj", "v_proj"));
  EXPECT_EQ(run.eval_sample_packing, false);
  EXPECT_EQ(run.num_epochs, 1.5);
  EXPECT_EQ(run.learning_rate, 2e-4);
  EXPECT_EQ(run.optimizer, "adamw_bnb_8bit");
  EXPECT_EQ(run.gradient_checkpointing, "true");
  EXPECT_EQ(run.warmup_ratio, 0.1);
  EXPECT_FALSE(run.warmup_steps.has_value());
  EXPECT_THAT(run.special_tokens, ElementsAre(Pair("pad_token", "<|end_of_text|>")));
  // One notice a key that is switched on and changes nothing; those without a value are silent.
  EXPECT_THAT(run.notices,
              ElementsAre(HasSubstr("dataset_prepared_path"), HasSubstr("wandb_entity"), HasSubstr("flash_attention")));
}

TEST(RunConfig, DefaultsAreThoseThatTheHeaderSays) {
  const TrainingRun run = parse_smallest("");
  EXPECT_EQ(run.adapter, "");
  EXPECT_EQ(run.val_set_size, 0);
  EXPECT_TRUE(run.shuffle);
  EXPECT_EQ(run.sequence_len, 512);
  EXPECT_EQ(run.lr_scheduler, "cosine");
  EXPECT_EQ(run.max_grad_norm, 1);
  EXPECT_EQ(run.seed, 42u);
  EXPECT_EQ(run.save_total_limit, 4);
  EXPECT_TRUE(run.notices.empty());
}

struct SameField {
  const TrainingRun &read, &defaults;
  std::string_view name;

  template <typename T>
  void operator()(T TrainingRun::*member) const {
    EXPECT_EQ(read.*member, defaults.*member) << name;
  }
  template <typename T>
  void operator()(T OnlineRun::*member) const {
    EXPECT_EQ(read.online.*member, defaults.online.*member) << name;
  }
  void operator()(const KeyReader&) const {}
};

TEST(RunConfig, PrintedDefaultsReadBackAsThemselves) {
  const std::string text = training_run_defaults();
  std::string yaml;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    const std::string line = text.substr(begin, end - begin);
    if (!line.starts_with("base_model:") && !line.starts_with("datasets:")) yaml += line + "\n";
    begin = end + 1;
  }
  const TrainingRun read = parse_smallest(yaml);
  const TrainingRun defaults = parse_smallest("");
  for (const RunKey& key : run_keys()) {
    EXPECT_THAT(text, HasSubstr("\n" + std::string(key.name) + ":")) << key.name;
    std::visit(SameField{read, defaults, key.name}, key.field);
  }
  EXPECT_EQ(read.optimizer, defaults.optimizer);
  EXPECT_EQ(read.bf16, defaults.bf16);
}

TEST(RunConfig, TypesAndBoundsNameTheLine) {
  const auto at_line_4 = [](const std::string& line, std::string_view mentions) {
    expect_error(ErrorKind::format, mentions, [&] { parse_smallest(line + "\n"); });
    expect_error(ErrorKind::format, "run.yaml:4", [&] { parse_smallest(line + "\n"); });
  };
  at_line_4("lora_r: eight", "expected an integer from 1 to 65536");
  at_line_4("lora_r: 0", "lora_r");
  at_line_4("lora_r: 2.5", "found 2.5");
  at_line_4("lora_dropout: 1.5", "from 0 to 1");
  at_line_4("learning_rate: nan", "learning_rate");
  at_line_4("learning_rate: fast", "expected a number");
  at_line_4("sample_packing: maybe", "true or false");
  at_line_4("bf16: 16", "true, false or auto");
  at_line_4("adapter: dora", "lora, qlora or none");
  at_line_4("eval_strategy: sometimes", "steps, epoch, no");
  at_line_4("optimizer: adamw_torch_fuse", "optimizer");
  at_line_4("lr_scheduler: cosinus", "lr_scheduler");
  at_line_4("lora_modules_to_save: {a: b}", "a list of texts");
  at_line_4("special_tokens: {end_token: x}", "special_tokens.end_token");
  at_line_4("seed: -1", "seed");
}

TEST(RunConfig, NumbersAndWordsInAllOfYamlsSpellings) {
  EXPECT_EQ(parse_smallest("learning_rate: \"5e-5\"\n").learning_rate, 5e-5);
  EXPECT_EQ(parse_smallest("learning_rate: .0002\n").learning_rate, 2e-4);
  EXPECT_EQ(parse_smallest("max_steps: 1_000\n").max_steps, 1000);
  EXPECT_EQ(parse_smallest("max_steps: 1e3\n").max_steps, 1000);
  EXPECT_EQ(parse_smallest("max_steps: -1\n").max_steps, 0);
  EXPECT_TRUE(parse_smallest("sample_packing: yes\n").sample_packing);
  EXPECT_TRUE(parse_smallest("sample_packing: True\n").sample_packing);
  EXPECT_EQ(parse_smallest("bf16: True\n").bf16, "true");
  EXPECT_EQ(parse_smallest("bf16: no\n").bf16, "false");
  EXPECT_EQ(parse_smallest("max_grad_norm: 0.0\n").max_grad_norm, 0);
  EXPECT_EQ(parse_smallest("max_grad_norm: -1\n").max_grad_norm, -1);
  EXPECT_EQ(parse_smallest("adapter: none\n").adapter, "");
  EXPECT_EQ(parse_smallest("adapter:\n").adapter, "");
  EXPECT_EQ(parse_smallest("resume_from_checkpoint: true\n").resume_from_checkpoint, "true");
  EXPECT_EQ(parse_smallest("resume_from_checkpoint: false\n").resume_from_checkpoint, "");
  EXPECT_EQ(parse_smallest("resume_from_checkpoint: out/checkpoint-4\n").resume_from_checkpoint, "out/checkpoint-4");
  EXPECT_EQ(parse_smallest("shuffle_merged_datasets: false\n").shuffle, false);
  const TrainingRun pattern = parse_smallest("lora_target_modules: model\\.layers\\.\\d+\\.mlp\\..*\n");
  EXPECT_EQ(pattern.lora_target_pattern, "model\\.layers\\.\\d+\\.mlp\\..*");
  EXPECT_TRUE(pattern.lora_target_modules.empty());
}

TEST(RunConfig, UnknownKeysNameTheNearest) {
  expect_error(ErrorKind::format, "micro_batch_size", [] { parse_smallest("micro_batchsize: 2\n"); });
  expect_error(ErrorKind::format, "lora_alpha", [] { parse_smallest("lora_aplha: 2\n"); });
  expect_error(ErrorKind::format, "run.yaml:4", [] { parse_smallest("lora_aplha: 2\n"); });
  expect_error(ErrorKind::format, "train_on_inputs", [] { parse_smallest("train_on_input: true\n"); });
  expect_error(ErrorKind::format, "run.yaml:4",
               [] { parse_training_run("base_model: m\ndatasets:\n  - path: d\n    tipe: alpaca\n", "run.yaml"); });
  expect_error(ErrorKind::format, "expected type",
               [] { parse_training_run("base_model: m\ndatasets:\n  - path: d\n    tipe: alpaca\n", "run.yaml"); });
}

TEST(RunConfig, WhatIsNotBuiltSaysSo) {
  expect_error(ErrorKind::unsupported, "deepspeed", [] { parse_smallest("deepspeed: zero3.json\n"); });
  expect_error(ErrorKind::unsupported, "fsdp", [] { parse_smallest("fsdp: [full_shard]\n"); });
  expect_error(ErrorKind::unsupported, "rl", [] { parse_smallest("rl: ebft\n"); });
  expect_error(ErrorKind::unsupported, "run.yaml:4", [] { parse_smallest("quantize_moe_experts: true\n"); });
  expect_error(ErrorKind::unsupported, "gradient_checkpointing",
               [] { parse_smallest("gradient_checkpointing: offload\n"); });
  expect_error(ErrorKind::unsupported, "alpaca, sharegpt",
               [] { parse_training_run("base_model: m\ndatasets:\n  - {path: d, type: pygmalion}\n", "run.yaml"); });
  // Switched off, they ask for nothing.
  EXPECT_NO_THROW(
      parse_smallest("quantize_moe_experts: false\nrelora: false\ntensor_parallel_size: 1\nneftune_noise_alpha:\n"));
}

TEST(RunConfig, KeysThatContradictEachOther) {
  expect_error(ErrorKind::format, "warmup", [] { parse_smallest("warmup_steps: 3\nwarmup_ratio: 0.1\n"); });
  expect_error(ErrorKind::format, "load_in_4bit", [] { parse_smallest("load_in_4bit: true\n"); });
  expect_error(ErrorKind::format, "load_in_8bit", [] { parse_smallest("load_in_8bit: true\n"); });
  expect_error(ErrorKind::format, "load_in_8bit", [] { parse_smallest("load_in_8bit: true\nadapter: qlora\n"); });
  EXPECT_TRUE(parse_smallest("load_in_8bit: true\nadapter: lora\n").load_in_8bit);
  expect_error(ErrorKind::format, "held-back", [] { parse_smallest("early_stopping_patience: 2\n"); });
  expect_error(ErrorKind::format, "unfrozen_parameters",
               [] { parse_smallest("adapter: lora\nunfrozen_parameters: [lm_head]\n"); });
  expect_error(ErrorKind::format, "save_steps: has no effect",
               [] { parse_smallest("save_strategy: best\nval_set_size: 2\nsave_steps: 5\n"); });
  expect_error(ErrorKind::format, "save_steps: has no effect",
               [] { parse_smallest("save_strategy: epoch\nsave_steps: 5\n"); });
  expect_error(ErrorKind::format, "evals_per_epoch: has no effect",
               [] { parse_smallest("eval_strategy: no\nevals_per_epoch: 2\n"); });
  expect_error(ErrorKind::format, "no data are held back", [] { parse_smallest("eval_steps: 5\n"); });
  EXPECT_EQ(parse_smallest("eval_strategy: steps\neval_steps: 5\nval_set_size: 2\n").eval_steps, 5);
  expect_error(ErrorKind::format, "base_model", [] { parse_training_run("datasets: [{path: d}]\n", "run.yaml"); });
  expect_error(ErrorKind::format, "datasets", [] { parse_training_run("base_model: m\n", "run.yaml"); });
}

TEST(RunConfig, OverridesAreStrongerAndReachDeep) {
  const TrainingRun run = parse_smallest(
      "lora_r: 4\n", {"lora_r=16", "--learning_rate=1e-3", "datasets.0.type=alpaca", "lora_target_modules=[q, v]",
                      "special_tokens.pad_token=<pad>", "datasets.1.path=e.csv"});
  EXPECT_EQ(run.lora_r, 16);
  EXPECT_EQ(run.learning_rate, 1e-3);
  EXPECT_EQ(run.datasets[0].type, "alpaca");
  EXPECT_EQ(run.datasets[1].path, "e.csv");
  EXPECT_THAT(run.lora_target_modules, ElementsAre("q", "v"));
  EXPECT_EQ(run.special_tokens[0].second, "<pad>");
  expect_error(ErrorKind::usage, "lora_r", [] { parse_smallest("", {"lora_r=x"}); });
  expect_error(ErrorKind::usage, "lora_r", [] { parse_smallest("", {"lora_rr=1"}); });
  expect_error(ErrorKind::usage, "key=value", [] { parse_smallest("", {"lora_r"}); });
  expect_error(ErrorKind::usage, "no such place", [] { parse_smallest("", {"lora_r.x.y=1", "datasets.7.path=a"}); });
}

TEST(RunConfig, BrokenYamlNamesTheLine) {
  expect_error(ErrorKind::format, "run.yaml:5: broken YAML", [] { parse_smallest("a: [1, 2\n"); });
  expect_error(ErrorKind::format, "stands twice", [] { parse_smallest("seed: 1\nseed: 2\n"); });
  expect_error(ErrorKind::format, "a mapping of keys", [] { parse_training_run("- a\n", "run.yaml"); });
  expect_error(ErrorKind::format, "more than one document", [] { parse_smallest("---\nseed: 1\n"); });
  expect_error(ErrorKind::not_found, "absent.yaml", [] { load_training_run("absent.yaml"); });
  std::string deep = "seed: ";
  for (int i = 0; i < 20000; ++i) deep += '[';
  expect_error(ErrorKind::format, "run.yaml", [&] { parse_smallest(deep + "\n"); });
}

TEST(RunConfig, AliasesCannotBlowUpAText) {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string number = std::to_string(i), before = std::to_string(i - 1);
    bomb.append("a").append(number).append(": &a").append(number).append(" [*a").append(before);
    for (int j = 0; j < 9; ++j) bomb.append(", *a").append(before);
    bomb += "]\n";
  }
  expect_error(ErrorKind::range, "too many", [&] { parse_smallest(bomb); });
}

TEST(RunConfig, MergeKeysGiveWhatIsNotThere) {
  const TrainingRun run = parse_training_run(R"(
base_model: m
datasets:
  - &first {path: a.jsonl, type: alpaca, train_on_eos: all}
  - {<<: *first, path: b.jsonl}
)",
                                             "run.yaml");
  EXPECT_EQ(run.datasets[1].path, "b.jsonl");
  EXPECT_EQ(run.datasets[1].type, "alpaca");
  EXPECT_EQ(run.datasets[1].train_on_eos, TrainOnEos::all);
}

TEST(RunConfig, FoldersHoldAFileASplit) {
  const testing::TemporaryFolder folder;
  folder.write("train.jsonl", "{}\n");
  folder.write("test.csv", "a\n");
  const std::string path = folder.path();
  const auto with = [&](const std::string& split) {
    return parse_training_run("base_model: m\ndatasets:\n  - path: " + path + "\n    split: " + split + "\n",
                              "run.yaml")
        .datasets[0]
        .path;
  };
  EXPECT_EQ(with("train"), path + "/train.jsonl");
  EXPECT_EQ(with("test"), path + "/test.csv");
  expect_error(ErrorKind::not_found, "validation.jsonl", [&] { with("validation"); });
  expect_error(ErrorKind::unsupported, "split", [&] {
    parse_training_run("base_model: m\ndatasets: [{path: " + path + "/train.jsonl, split: test}]\n", "run.yaml");
  });
}

}  // namespace
}  // namespace powerhouse
