// Distillation by Trainer: that the teacher is learnt from, what a store and accumulation must not change, and what is
// refused.
#include <gmock/gmock.h>

#include <filesystem>

#include "powerhouse/tensor_file.h"
#include "training/distillation_fixture.h"

namespace powerhouse::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::Key;

double eval_metric(const Evaluation& evaluation, const std::string& name) {
  for (const auto& [key, value] : evaluation.metrics) {
    if (key == name) return value;
  }
  ADD_FAILURE() << "no metric " << name;
  return 0;
}

TEST_F(DistillationTest, TheStudentComesNearerToTheTeacher) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    CausalLM student = full(dtype);
    const CausalLM from = teacher(dtype);
    const std::string out = folder_.file("out" + std::string(to_string(dtype)));
    const DistillationOptions method{.alpha = 0.8, .hidden_state_weight = 0.1};
    Trainer trainer(student, from, data(40, 0.2), method,
                    options({.learning_rate = 5e-3, .epochs = 4, .micro_batch_size = 4, .output_dir = out}));
    const Evaluation before = trainer.evaluate();
    const TrainingResult result = trainer.train();
    const Evaluation after = trainer.evaluate();
    EXPECT_EQ(result.end, TrainingEnd::finished);
    EXPECT_LT(eval_metric(after, "divergence"), 0.7 * eval_metric(before, "divergence"));
    EXPECT_LT(eval_metric(after, "hidden_loss"), eval_metric(before, "hidden_loss"));
    EXPECT_NEAR(after.eval_loss,
                0.8 * eval_metric(after, "divergence") + 0.2 * eval_metric(after, "ce_loss") +
                    0.1 * eval_metric(after, "hidden_loss"),
                1e-6);
    const std::vector<Json> rows = read_rows(out + "/train_log.jsonl");
    for (const char* key : {"divergence", "ce_loss", "entropy", "hidden_loss"}) {
      EXPECT_TRUE(rows.at(1).get(key) != nullptr || rows.at(1).get("metrics") != nullptr) << key << rows.at(1).dump();
    }
  }
}

TEST_F(DistillationTest, BfloatIsFloatWithinItsDigits) {
  std::vector<double> losses[2];
  for (const std::size_t half : {0, 1}) {
    const Dtype dtype = half == 1 ? Dtype::bf16 : Dtype::f32;
    CausalLM student = lora(0, dtype);
    const CausalLM from = teacher(dtype);
    losses[half] = losses_of(student, {.model = &from}, data(24), {.divergence = {.beta = 0.5}, .alpha = 0.5},
                             {.max_steps = 6, .micro_batch_size = 4});
  }
  expect_near_all(losses[1], losses[0], 0.03);
}

TEST_F(DistillationTest, AccumulationEqualsTheBigBatch) {
  std::vector<double> losses[2];
  const std::pair<std::int64_t, std::int64_t> shapes[] = {{8, 1}, {2, 4}};
  const CausalLM from = teacher();
  for (std::size_t i = 0; i < 2; ++i) {
    CausalLM student = full();
    losses[i] = losses_of(student, {.model = &from}, data(32),
                          {.divergence = {.beta = 0, .temperature = 2, .scale_by_temperature_squared = true},
                           .alpha = 0.6,
                           .hidden_state_weight = 0.2},
                          {.micro_batch_size = shapes[i].first, .gradient_accumulation_steps = shapes[i].second});
  }
  expect_near_all(losses[1], losses[0], 1e-5);
}

TEST_F(DistillationTest, AStoreOfTheWholeVocabularyIsTheTeacher) {
  const CausalLM from = teacher();
  const Dataset rows = data(30, 0.2);
  for (const double beta : {0.0, 0.5, 1.0}) {
    const DistillationOptions method{.divergence = {.beta = beta, .temperature = 1.5}, .alpha = 0.7};
    const TeacherStore store =
        TeacherStore::make(from, rows, folder_.file("cache"), {.top_k = 1000, .temperature = 1.5, .batch_size = 3});
    EXPECT_EQ(store.top_k(), 97);
    CausalLM live = full(), stored = full();
    const TrainingOptions how{.micro_batch_size = 2, .sample_packing = beta == 1.0};
    expect_near_all(losses_of(stored, {.store = &store}, rows, method, how),
                    losses_of(live, {.model = &from}, rows, method, how), 2e-5);
    EXPECT_LT(largest_difference(copy_weights(live), copy_weights(stored)), 2e-3);
  }
}

TEST_F(DistillationTest, AStoreIsMadeOnceForATeacherAndItsData) {
  const CausalLM from = teacher();
  const Dataset rows = data(20, 0.2);
  const TeacherStoreOptions small{.top_k = 5};
  const TeacherStore store = TeacherStore::make(from, rows, folder_.file("cache"), small);
  EXPECT_EQ(store.top_k(), 5);
  EXPECT_GT(store.targets(), 100);
  const auto written = fs::last_write_time(store.path());
  EXPECT_EQ(TeacherStore::make(from, rows, folder_.file("cache"), small).path(), store.path());
  EXPECT_EQ(fs::last_write_time(store.path()), written);
  EXPECT_NE(TeacherStore::make(from, data(21, 0.2), folder_.file("cache"), small).path(), store.path());
  EXPECT_NE(TeacherStore::make(big_teacher(), rows, folder_.file("cache"), small).path(), store.path());
  EXPECT_NE(TeacherStore::make(from, rows, folder_.file("cache"), {.top_k = 6}).path(), store.path());

  // Of few tokens the divergence is smaller, and still learnt from.
  CausalLM student = full();
  const std::vector<double> losses = losses_of(student, {.store = &store}, rows, {.divergence = {.beta = 0}},
                                               {.learning_rate = 5e-3, .epochs = 4, .micro_batch_size = 4});
  EXPECT_LT(losses.back(), 0.7 * losses.front());

  expect_error(ErrorKind::usage, "another temperature",
               [&] { run(student, {.store = &store}, rows, {.divergence = {.temperature = 2}}, {}); });
  expect_error(ErrorKind::usage, "no such row", [&] { run(student, {.store = &store}, data(40), {}, {}); });
  expect_error(ErrorKind::usage, "hidden_state_weight",
               [&] { run(student, {.store = &store}, rows, {.hidden_state_weight = 1}, {}); });
}

TEST_F(DistillationTest, ADamagedStoreIsAnError) {
  const CausalLM from = teacher();
  const Dataset rows = data(12);
  const TeacherStore store = TeacherStore::make(from, rows, folder_.file("cache"), {.top_k = 4});
  const std::string path = store.path();
  const auto whole = load_safetensors(path);
  const auto damaged = [&](const std::string& name, auto&& change) {
    std::vector<NamedTensor> tensors;
    for (const auto& [own, tensor] : whole) {
      const at::Tensor changed = own == name ? change(tensor.clone()) : tensor;
      if (changed.defined()) tensors.emplace_back(own, changed);
    }
    save_safetensors(path, tensors);
    expect_error(ErrorKind::format, "cache", [&] { TeacherStore::open(path); });
  };
  for (const auto& [name, tensor] : whole) damaged(name, [](const at::Tensor&) { return at::Tensor(); });
  damaged("ids", [](const at::Tensor& x) { return x.add(97); });
  damaged("ids", [](const at::Tensor& x) { return x.narrow(0, 0, 3); });
  damaged("ids", [](const at::Tensor& x) { return x.to(at::kLong); });
  damaged("log_probs", [](const at::Tensor& x) { return x.add(9); });
  damaged("log_probs", [](const at::Tensor& x) { return x.fill_(std::nan("")); });
  damaged("documents", [](const at::Tensor& x) { return x.fill_(7); });
  damaged("about", [](const at::Tensor& x) { return x.fill_(120); });
  // Cut short, and then made again.
  fs::resize_file(path, fs::file_size(path) / 2);
  expect_error(ErrorKind::format, "cache", [&] { TeacherStore::open(path); });
  EXPECT_EQ(TeacherStore::make(from, rows, folder_.file("cache"), {.top_k = 4}).targets(), store.targets());
  EXPECT_THAT(warnings_, Contains(::testing::HasSubstr("made again")));
  expect_error(ErrorKind::not_found, "none", [&] { TeacherStore::open(folder_.file("none.safetensors")); });
}

TEST_F(DistillationTest, AResumedRunIsTheSameBits) {
  const CausalLM from = teacher();
  const DistillationOptions method{.alpha = 0.5, .hidden_state_weight = 0.3};  // with a projection, 48 to 32
  const auto how = [&](const std::string& out) {
    return TrainingOptions{
        .max_steps = 6, .micro_batch_size = 3, .output_dir = folder_.file(out), .save = {.steps = 3}};
  };
  CausalLM whole = full(), parts = full();
  run(whole, {.model = &from}, data(24), method, how("whole"));
  TrainingOptions again = how("parts");
  again.resume_from_checkpoint = folder_.file("whole") + "/checkpoint-3";
  EXPECT_TRUE(fs::exists(again.resume_from_checkpoint + "/distillation.safetensors"));
  run(parts, {.model = &from}, data(24), method, again);
  EXPECT_TRUE(same_bits(copy_weights(whole), copy_weights(parts)));
}

TEST_F(DistillationTest, AnAdapterLearnsFromItsOwnBase) {
  CausalLM student = lora();
  const CausalLM base = student.share();
  const std::vector<double> losses =
      losses_of(student, {.model = &base}, data(8), {.alpha = 1}, {.max_steps = 1, .micro_batch_size = 4});
  EXPECT_NEAR(losses.at(0), 0, 1e-6);  // B is zero: nothing to learn yet
}

TEST_F(DistillationTest, WhatMakesNoSenseIsRefused) {
  const CausalLM from = teacher();
  CausalLM student = full();
  const Dataset rows = data(8);
  const auto refused = [&](ErrorKind kind, const char* mentions, const Teacher& teacher,
                           const DistillationOptions& method) {
    expect_error(kind, mentions, [&] { run(student, teacher, rows, method, {}); });
  };
  refused(ErrorKind::usage, "one model", {.model = &student}, {});
  const CausalLM shared = student.share();
  refused(ErrorKind::usage, "one model", {.model = &shared}, {});
  refused(ErrorKind::usage, "one of them", {}, {});
  refused(ErrorKind::range, "alpha", {.model = &from}, {.alpha = -1});
  refused(ErrorKind::range, "ce_alpha", {.model = &from}, {.alpha = 1.5});
  refused(ErrorKind::usage, "nothing is learnt", {.model = &from}, {.alpha = 0});
  refused(ErrorKind::range, "beta", {.model = &from}, {.divergence = {.beta = 1.5}});
  refused(ErrorKind::range, "temperature", {.model = &from}, {.divergence = {.temperature = 0}});
  refused(ErrorKind::range, "hidden_state_weight", {.model = &from}, {.hidden_state_weight = std::nan("")});
  const CausalLM other = CausalLM::from_pretrained(POWERHOUSE_FIXTURES "/model/tiny_mqa_linear", {.dtype = Dtype::f32});
  refused(ErrorKind::usage, "different vocabularies", {.model = &other}, {});
  expect_error(ErrorKind::range, "top_k", [&] { TeacherStore::make(from, rows, folder_.file("c"), {.top_k = 0}); });
  expect_error(ErrorKind::unsupported, "adapters", [&] { TeacherStore::make(lora(), rows, folder_.file("c")); });
}

}  // namespace
}  // namespace powerhouse::testing
