// Training on preferences beside TRL's numbers: resumed bit for bit, what the logs tell, degenerate data, options that
// do not fit, and whole runs from YAML.
#include <gmock/gmock.h>

#include <cmath>
#include <filesystem>

#include "expect_error.h"
#include "powerhouse/training_run.h"
#include "support/mapped_file.h"
#include "training/run_preference.h"
#include "training/smallest_run.h"
#include "training/trainer_fixture.h"

namespace powerhouse {
namespace {

using testing::copy_weights;
using testing::expect_error;
using ::testing::HasSubstr;
using testing::same_bits;

double metric(const Metrics& metrics, std::string_view name) {
  for (const auto& [own, value] : metrics) {
    if (own == name) return value;
  }
  return NAN;
}

std::string pair_lines(int rows, bool identical = false) {
  std::string lines;
  for (int i = 0; i < rows; ++i) {
    const std::string letter(1, static_cast<char>('a' + i % 7)), other = identical ? letter : "z";
    lines += R"({"prompt": "say )" + letter + std::to_string(i) + R"(:", "chosen": " )" + letter +
             R"(", "rejected": " )" + other + "\"}\n";
  }
  return lines;
}

class PreferenceTrainerTest : public testing::TrainerTest {
 protected:
  PreferenceDataset pairs(const std::string& lines, PreferenceDatasetOptions options = {}) {
    return PreferenceDataset::open(tokenizer_, {{.path = folder_.write("pairs.jsonl", lines)}}, options);
  }
  Metrics first_step(const PreferenceDataset& data, PreferenceOptions method, TrainingOptions more = {},
                     const AlignmentOptions& alignment = {}) {
    CausalLM model = lora();
    Metrics metrics;
    TrainingCallbacks callbacks;
    callbacks.on_step = [&](const TrainingStep& step, TrainingControl& control) {
      metrics = step.metrics;
      metrics.emplace_back("loss", step.loss);
      control.stop = true;
    };
    Trainer(model, data, std::move(method), options(std::move(more)), alignment, callbacks).train();
    return metrics;
  }
  template <typename MakeModel>
  void check_resume(const PreferenceDataset& data, const PreferenceOptions& method, const AlignmentOptions& alignment,
                    MakeModel make_model);
};

// Stopped in the middle of an epoch: weights and log are those of the run without a stop.
template <typename MakeModel>
void PreferenceTrainerTest::check_resume(const PreferenceDataset& data, const PreferenceOptions& method,
                                         const AlignmentOptions& alignment, MakeModel make_model) {
  TrainingOptions base = options({.epochs = 2, .micro_batch_size = 2, .gradient_accumulation_steps = 2});
  base.save = {.steps = 2};
  base.output_dir = folder_.file("straight");
  CausalLM straight = make_model();
  const TrainingResult whole = Trainer(straight, data, method, base, alignment).train();
  base.output_dir = folder_.file("stopped");
  {
    CausalLM first = make_model();
    TrainingCallbacks callbacks;
    callbacks.on_step = [](const TrainingStep& step, TrainingControl& control) { control.stop = step.step == 3; };
    Trainer(first, data, method, base, alignment, callbacks).train();
  }
  base.resume_from_checkpoint = "latest";
  CausalLM second = make_model();
  const TrainingResult rest = Trainer(second, data, method, base, alignment).train();
  EXPECT_EQ(rest.steps, whole.steps);
  EXPECT_EQ(rest.final_eval_loss, whole.final_eval_loss);
  EXPECT_TRUE(same_bits(copy_weights(second), copy_weights(straight)));
  EXPECT_EQ(losses(folder_.file("stopped")), losses(folder_.file("straight")));
}

TEST_F(PreferenceTrainerTest, ResumesDpoWithDropoutBitForBit) {
  check_resume(pairs(pair_lines(15), {.val_set_size = 3}), DpoOptions{}, {.disable_dropout = false},
               [this] { return lora(0.2); });
}

TEST_F(PreferenceTrainerTest, ResumesKtoBitForBit) {
  check_resume(pairs(pair_lines(8), {.unpaired = true, .val_set_size = 2}), KtoOptions{}, {},
               [this] { return lora(); });
}

TEST_F(PreferenceTrainerTest, ResumesAMovingReferenceBitForBit) {
  check_resume(pairs(pair_lines(15), {.val_set_size = 3}), DpoOptions{},
               {.sync_ref_model = true, .ref_model_sync_steps = 2}, [this] { return full(); });
}

TEST_F(PreferenceTrainerTest, LogsTellMetricsAndWhoIsBesideWhom) {
  const PreferenceDataset data = pairs(pair_lines(6), {.unpaired = true, .val_set_size = 2});
  CausalLM model = lora();
  TrainingOptions base = options({.micro_batch_size = 4, .output_dir = folder_.file("out")});
  Trainer(model, data, KtoOptions{}, base).train();
  const std::vector<Json> log = read_rows(base.output_dir + "/train_log.jsonl");
  EXPECT_NEAR(log[0].at("eval_rewards/margins").as_double(), 0, 1e-5);  // before the first step
  EXPECT_NEAR(log[1].at("kl").as_double(), 0, 1e-5);
  EXPECT_NE(log[1].get("rewards/chosen"), nullptr);
  // In the order of the micro batch: each prompt was put beside the completion of the row before it.
  const Json order = read_rows(base.output_dir + "/data_order.jsonl")[0];
  EXPECT_EQ(order.at("rows").as_array().size(), 4u);
  EXPECT_THAT(read_text(base.output_dir + "/report.html", 1 << 24), HasSubstr("<h2>rewards</h2>"));
}

TEST_F(PreferenceTrainerTest, DegenerateDataHaveDocumentedValues) {
  const Metrics same = first_step(pairs(pair_lines(4, true)), DpoOptions{}, {.micro_batch_size = 4});
  EXPECT_NEAR(metric(same, "loss"), std::log(2.0), 1e-6);
  EXPECT_NEAR(metric(same, "rewards/margins"), 0, 1e-5);
  std::string good;
  for (int i = 0; i < 4; ++i)
    good += R"({"prompt": "a", "completion": ")" + std::to_string(i) + R"(", "label": true})" + "\n";
  const Metrics one_label = first_step(pairs(good, {.unpaired = true}), KtoOptions{}, {.micro_batch_size = 4});
  EXPECT_NEAR(metric(one_label, "loss"), 0.5, 1e-6);
  EXPECT_TRUE(std::isnan(metric(one_label, "rewards/rejected")));
  EXPECT_FALSE(std::isnan(metric(one_label, "rewards/chosen")));
  const Metrics single = first_step(pairs(pair_lines(1)), DpoOptions{});
  EXPECT_NEAR(metric(single, "loss"), std::log(2.0), 1e-6);
  // Nothing is left of any completion.
  const PreferenceDataset cut = pairs(pair_lines(3), {.max_length = 4});
  EXPECT_EQ(cut.report().find(RowProblem::prompt_too_long)->rows, 3);
  expect_error(ErrorKind::usage, "no rows", [&] { first_step(cut, DpoOptions{}); });
}

// Prompts of one token, or none, have no token that is predicted: ORPO's NLL is that of the completions.
TEST_F(PreferenceTrainerTest, OrpoTakesPromptsWithoutTargets) {
  for (const char* prompt : {"", "a"}) {
    SCOPED_TRACE(prompt);
    const std::string row =
        R"({"prompt": ")" + std::string(prompt) + R"(", "chosen": " b1", "rejected": " zz"})" + "\n";
    const PreferenceDataset data = pairs(row + row);
    const Metrics whole = first_step(data, OrpoOptions{}, {.micro_batch_size = 2});
    const Metrics alone = first_step(data, OrpoOptions{.nll = OrpoNll::completion}, {.micro_batch_size = 2});
    EXPECT_TRUE(std::isfinite(metric(whole, "loss")));
    EXPECT_EQ(metric(whole, "loss"), metric(alone, "loss"));
  }
}

// A file of the reference's log-probabilities: read again, made again where it is damaged or another model's.
TEST_F(PreferenceTrainerTest, KeptLogProbabilitiesAreOfThisModelAndWhole) {
  const PreferenceDataset data = pairs(pair_lines(6));
  const std::string cache = folder_.file("cache");
  const auto step = [&](CausalLM& reference) {
    return first_step(data, DpoOptions{}, {},
                      {.ref_model = &reference, .precompute_ref_log_probs = true, .ref_cache_dir = cache});
  };
  const auto files = [&] {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(cache)) names.push_back(entry.path().string());
    return names;
  };
  CausalLM same = CausalLM::from_pretrained(path_, {.dtype = Dtype::f32}), other = same.clone();
  EXPECT_NEAR(metric(step(same), "loss"), std::log(2.0), 1e-6);
  ASSERT_EQ(files().size(), 1u);
  const std::string file = files().front();
  for (const auto size : {std::filesystem::file_size(file) - 4, std::uintmax_t{0}}) {
    std::filesystem::resize_file(file, size);
    warnings_.clear();
    EXPECT_NEAR(metric(step(same), "loss"), std::log(2.0), 1e-6);
    EXPECT_THAT(warnings_, ::testing::Contains(HasSubstr("computed again")));
  }
  warnings_.clear();
  EXPECT_NEAR(metric(step(same), "loss"), std::log(2.0), 1e-6);
  EXPECT_TRUE(warnings_.empty());
  other.parameter("model.layers.0.mlp.down_proj.weight").detach().mul_(2);
  EXPECT_GT(std::abs(metric(step(other), "rewards/margins")), 1e-4);
  EXPECT_EQ(files().size(), 2u);
}

TEST_F(PreferenceTrainerTest, NumbersThatAreNotFiniteSkipTheStep) {
  const PreferenceDataset data = pairs(pair_lines(4));
  CausalLM model = lora();
  model.trainable_parameters().front().second.detach().fill_(NAN);
  expect_error(ErrorKind::numeric, "no step could be applied",
               [&] { Trainer(model, data, OrpoOptions{}, options({})).train(); });
  EXPECT_FALSE(warnings_.empty());
}

TEST_F(PreferenceTrainerTest, WhatDoesNotFitIsRefused) {
  const PreferenceDataset data = pairs(pair_lines(4)), single = pairs(pair_lines(4), {.unpaired = true});
  const auto refused = [&](ErrorKind kind, const char* what, const PreferenceDataset& rows, PreferenceOptions method,
                           TrainingOptions more = {}, const AlignmentOptions& alignment = {}) {
    expect_error(kind, what, [&] { first_step(rows, method, more, alignment); });
  };
  refused(ErrorKind::usage, "takes pairs", single, DpoOptions{});
  refused(ErrorKind::usage, "single completions", data, KtoOptions{}, {.micro_batch_size = 2});
  refused(ErrorKind::usage, "2 or more", single, KtoOptions{});
  refused(ErrorKind::usage, "shuffle", single, KtoOptions{}, {.micro_batch_size = 2},
          {.precompute_ref_log_probs = true});
  refused(ErrorKind::usage, "no reference", data, OrpoOptions{}, {}, {.precompute_ref_log_probs = true});
  refused(ErrorKind::usage, "not packed", data, DpoOptions{}, {.sample_packing = true});
  refused(ErrorKind::unsupported, "with adapters", data, DpoOptions{}, {}, {.sync_ref_model = true});
  refused(ErrorKind::usage, "would move", data, DpoOptions{}, {},
          {.precompute_ref_log_probs = true, .sync_ref_model = true});
  refused(ErrorKind::range, "beta", data, DpoOptions{.beta = 0});
  CausalLM model = lora();
  expect_error(ErrorKind::usage, "its own reference",
               [&] { Trainer(model, data, DpoOptions{}, options({}), {.ref_model = &model}); });
}

class PreferenceRunsTest : public PreferenceTrainerTest {
 protected:
  TrainingResult run(const std::vector<std::string>& overrides) {
    folder_.write("pairs.jsonl", pair_lines(12));
    const std::string yaml = "base_model: " + path_ + "\nadapter: lora\nlora_target_linear: true\nbf16: false\n" +
                             "micro_batch_size: 2\nlearning_rate: 1e-3\nval_set_size: 2\noutput_dir: " + out_ +
                             "\ndatasets:\n  - path: " + folder_.file("pairs.jsonl") + "\n";
    return train(parse_training_run(yaml, "run.yaml", overrides));
  }
  std::string out_ = folder_.file("out");
};

TEST_F(PreferenceRunsTest, EveryMethodRunsFromYaml) {
  for (const char* method : {"dpo", "ipo", "orpo", "kto", "cpo", "simpo"}) {
    SCOPED_TRACE(method);
    std::filesystem::remove_all(out_);
    const TrainingResult result = run({std::string("rl=") + method});
    EXPECT_GT(result.steps, 0);
    const std::vector<Json> log = read_rows(out_ + "/train_log.jsonl");
    EXPECT_NE(log.back().get("eval_rewards/margins"), nullptr);
    EXPECT_TRUE(std::filesystem::exists(out_ + "/adapter_model.safetensors"));
  }
}

TEST_F(PreferenceRunsTest, ASavedAdapterIsItsOwnReference) {
  run({"rl=dpo"});
  const std::string more = folder_.file("more");
  run({"rl=dpo", "lora_model_dir=" + out_, "output_dir=" + more});
  const std::vector<Json> log = read_rows(more + "/train_log.jsonl");
  EXPECT_NEAR(log[1].at("rewards/chosen").as_double(), 0, 1e-5);
  run({"rl=dpo", "lora_model_dir=" + out_, "output_dir=" + folder_.file("base"), "ref_model=" + path_});
  EXPECT_GT(std::abs(read_rows(folder_.file("base") + "/train_log.jsonl")[1].at("rewards/chosen").as_double()), 1e-3);
}

TrainingRun parse_pairs(const std::string& more) { return testing::parse_smallest("micro_batch_size: 2\n" + more); }

TEST(PreferenceKeys, AreTrlsAndAxolotls) {
  const auto dpo = std::get<DpoOptions>(preference_options(parse_pairs(
      "rl: dpo\ndpo_loss_type: [robust, sft]\ndpo_loss_weights: [1, 0.5]\ndpo_label_smoothing: 0.1\nbeta: 0.3\n"
      "ld_alpha: 0.5\n")));
  EXPECT_EQ(dpo.loss_type, (std::vector{DpoLossType::robust, DpoLossType::sft}));
  EXPECT_EQ(dpo.loss_weights, (std::vector{1.0, 0.5}));
  EXPECT_EQ(dpo.label_smoothing, 0.1);
  EXPECT_EQ(dpo.beta, 0.3);
  EXPECT_EQ(dpo.ld_alpha, 0.5);
  EXPECT_EQ(std::get<DpoOptions>(preference_options(parse_pairs("rl: ipo\n"))).loss_type,
            std::vector{DpoLossType::ipo});
  EXPECT_EQ(std::get<OrpoOptions>(preference_options(parse_pairs("rl: orpo\norpo_alpha: 0.2\n"))).beta, 0.2);
  const auto kto = std::get<KtoOptions>(
      preference_options(parse_pairs("rl: kto\nkto_desirable_weight: 0.2\nundesirable_weight: 2\nloss_type: kto\n")));
  EXPECT_EQ(kto.desirable_weight, 0.2);
  EXPECT_EQ(kto.undesirable_weight, 2);
  const auto simpo = std::get<CpoOptions>(preference_options(parse_pairs("rl: simpo\nrl_beta: 2\nsimpo_gamma: 1\n")));
  EXPECT_EQ(simpo.loss_type, CpoLossType::simpo);
  EXPECT_EQ(simpo.cpo_alpha, 0);
  EXPECT_EQ(simpo.simpo_gamma, 1);
  const auto alphapo = std::get<CpoOptions>(
      preference_options(parse_pairs("rl: cpo\nloss_type: alphapo\nalpha: 0.25\nnll: sequence_sum\n")));
  EXPECT_EQ(alphapo.loss_type, CpoLossType::simpo);
  EXPECT_EQ(alphapo.alpha, 0.25);
  EXPECT_EQ(alphapo.nll, CpoNll::sequence_sum);
  EXPECT_EQ(std::get<OrpoOptions>(preference_options(parse_pairs("rl: orpo\nnll: completion\n"))).nll,
            OrpoNll::completion);
  EXPECT_TRUE(preference_dataset_options(parse_pairs("rl: orpo\nbos_and_eos: true\n")).bos_and_eos);
  EXPECT_TRUE(preference_dataset_options(parse_pairs("rl: kto\n")).unpaired);
  EXPECT_EQ(preference_dataset_options(parse_pairs("rl: dpo\nmax_length: 77\ntruncation_mode: keep_end\n")).max_length,
            77);
  EXPECT_THAT(training_run_defaults(), HasSubstr("rl_beta:"));
}

TEST(PreferenceKeys, WhatAMethodDoesNotHaveIsRefused) {
  const auto refused = [](const char* what, const std::string& yaml, ErrorKind kind = ErrorKind::format) {
    expect_error(kind, what, [&] { parse_pairs(yaml); });
  };
  refused("rl_beta: has no effect without rl", "beta: 0.1\n");
  refused("has no effect: rl is orpo", "rl: orpo\nprecompute_ref_log_probs: true\n");
  refused("has no effect: rl is dpo", "rl: dpo\nsimpo_gamma: 1\n");
  refused("another name of rl_beta", "rl: dpo\nbeta: 0.1\nrl_beta: 0.2\n");
  refused("loss_type", "rl: dpo\nloss_type: sigmoidd\n");
  refused("one loss", "rl: kto\nloss_type: [kto, apo_zero_unpaired]\n");
  refused("not packed", "rl: dpo\nsample_packing: true\n");
  refused("has no effect without sync_ref_model", "rl: dpo\nref_model_sync_steps: 4\n");
  refused("has no effect: rl is dpo", "rl: dpo\nalpha: 1\n");
  refused("has no effect: rl is dpo", "rl: dpo\nbos_and_eos: true\n");
  refused("label_smoothing: has no effect", "rl: dpo\nlabel_smoothing: 0.1\n");
  refused("label_smoothing: has no effect", "rl: cpo\nloss_type: hinge\nlabel_smoothing: 0.1\n");
  refused("simpo_gamma: has no effect", "rl: cpo\nsimpo_gamma: 1\n");
  refused("discopop_tau: has no effect", "rl: dpo\ndiscopop_tau: 0.1\n");
  refused("f_alpha_divergence_coef: has no effect", "rl: dpo\nf_alpha_divergence_coef: 0.3\n");
  refused("nll", "rl: orpo\nnll: token_mean\n");
  refused("label_smoothing", "rl: dpo\nlabel_smoothing: 0.7\nloss_type: robust\n");
  refused("not built", "rl: gdpo\n", ErrorKind::unsupported);
  refused("expected", "rl: dpoo\n");
  expect_error(ErrorKind::format, "alpaca is no type of preferences", [] {
    parse_training_run("base_model: m\nrl: dpo\ndatasets:\n  - {path: d, type: alpaca}\n", "run.yaml");
  });
  expect_error(ErrorKind::format, "need rl",
               [] { parse_training_run("base_model: m\ndatasets:\n  - {path: d, type: chatml.intel}\n", "run.yaml"); });
}

}  // namespace
}  // namespace powerhouse
