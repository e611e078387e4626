// Distillation held to TRL's losses in transformers' Trainer, step by step (tests/oracles/distillation_runs.py): each
// of 20 steps' loss within 1e-3 of theirs (they agree to about 1e-5), and the norm of its gradient.
#include <gtest/gtest.h>

#include "parity.h"
#include "training/distillation_fixture.h"
#include "training/distillation_objective.h"
#include "training/teacher_source.h"

namespace powerhouse::testing {
namespace {

// A step of Trainer's, spelled out: rows.json is ids, which no tokenizer makes.
struct Step {
  CausalLM& student;
  TeacherSource& teacher;
  const Json& run;
  std::vector<TokenBatch> batches{};

  double forward_and_backward() {
    std::int64_t targets = 0;
    for (const TokenBatch& batch : batches) targets += batch.target_count();
    const double alpha = run.at("alpha").as_double(), rows = static_cast<double>(targets);
    const DistillOptions options{.beta = run.at("beta").as_double(), .temperature = run.at("temperature").as_double()};
    const DistillationWeights weights{.cross_entropy = (1 - alpha) / rows, .divergence = alpha / rows};
    DistillationSums sums;
    double loss = 0;
    for (const TokenBatch& batch : batches) {
      const TargetRows hidden = target_rows(student, batch, {});
      const at::Tensor part = teacher.loss({student, batch, hidden, options, weights, sums});
      part.backward();
      loss += part.item<double>();
    }
    return loss;
  }
};

class DistillationParity : public ::testing::TestWithParam<int> {};

TEST_P(DistillationParity, StepsAreTrls) {
  const Json runs = Json::parse_file(distillation_fixture("runs.json"));
  const Json& run = runs.as_array().at(static_cast<std::size_t>(GetParam()));
  SCOPED_TRACE(run.at("name").as_string());
  CausalLM student = CausalLM::from_pretrained(POWERHOUSE_FIXTURES "/model/tiny_gqa", {.dtype = Dtype::f32});
  student.set_requires_grad(true);
  const CausalLM teacher = CausalLM::from_pretrained(distillation_fixture("teacher"), {.dtype = Dtype::f32});
  const auto source = live_teacher(student, teacher);
  const std::vector<ParityRow> rows = parity_rows();
  Optimizer optimizer(make_parameter_groups(student.trainable_parameters()),
                      AdamWOptions{.lr = 1e-3, .weight_decay = 0.01});
  for (std::size_t step = 0, next = 0; step < 20; ++step) {
    Step one{student, *source, run, std::vector<TokenBatch>(2)};
    for (TokenBatch& batch : one.batches) {
      for (int i = 0; i < 2; ++i, ++next) batch.add(rows.at(next).ids, rows.at(next).labels);
    }
    const double loss = one.forward_and_backward();
    const StepResult result = optimizer.step({.max_grad_norm = 1});
    optimizer.zero_grad();
    EXPECT_NEAR(loss / run.at("losses").as_array()[step].as_double(), 1, 1e-3) << "step " << step + 1;
    EXPECT_NEAR(result.grad_norm / run.at("grad_norms").as_array()[step].as_double(), 1, 2e-3) << "step " << step + 1;
  }
}

INSTANTIATE_TEST_SUITE_P(, DistillationParity, ::testing::Range(0, 4));

// The tiny tokenizer with a decoder: without one there would be blanks between its tokens.
class UniversalParity : public DistillationTest {
 protected:
  UniversalParity() {
    Json json = Json::parse_file(path_ + "/tokenizer.json");
    JsonObject decoder;
    decoder["type"] = "Fuse";
    JsonObject object = json.as_object();
    object["decoder"] = std::move(decoder);
    folder_.write("model/tokenizer.json", Json(std::move(object)).dump());
    tokenizer_ = Tokenizer::from_pretrained(path_);
  }
};

TEST_F(UniversalParity, StepsAreTrls) {
  const Json oracle = Json::parse_file(distillation_fixture("universal.json"));
  std::string lines;
  for (const Json& text : oracle.at("texts").as_array()) {
    JsonObject row;
    row["text"] = text;
    lines += Json(std::move(row)).dump() + "\n";
  }
  const std::vector<DatasetSource> sources{{.path = folder_.write("texts.jsonl", lines), .type = "completion"}};
  const Dataset data = Dataset::open(tokenizer_, sources);
  const CausalLM teacher = CausalLM::from_pretrained(distillation_fixture("other"), {.dtype = Dtype::f32});
  const Dataset other = Dataset::open(Tokenizer::from_pretrained(distillation_fixture("other")), sources);
  std::vector<double> expected;
  for (const Json& loss : oracle.at("losses").as_array()) expected.push_back(loss.as_double());
  CausalLM student = full();
  expect_near_all(losses_of(student, {.model = &teacher, .data = other}, data, {},
                            {.epochs = 4,
                             .shuffle = false,
                             .optimizer = AdamWOptions{.weight_decay = 0},
                             .schedule = {.kind = ScheduleKind::constant},
                             .max_grad_norm = 0}),
                  expected, 1e-3);

  // What is another text for the two is no data for both.
  const std::vector<DatasetSource> upper{{.path = folder_.write("texts.jsonl", R"({"text": "no such text"})"
                                                                               "\n"),
                                          .type = "completion"}};
  const Dataset wrong = Dataset::open(Tokenizer::from_pretrained(distillation_fixture("other")), upper);
  expect_error(ErrorKind::usage, "another text", [&] {
    Trainer(student, {.model = &teacher, .data = wrong}, data, std::nullopt, DistillationOptions{}, options({}));
  });
  expect_error(ErrorKind::usage, "different vocabularies",
               [&] { Trainer(student, teacher, data, DistillationOptions{}, options({})); });
}

}  // namespace
}  // namespace powerhouse::testing
