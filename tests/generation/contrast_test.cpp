// Decoding by contrast against references written from the papers (tests/oracles/contrast.py).
#include "powerhouse/contrast.h"
#include "json_numbers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "expect_error.h"
#include "ops/tensors.h"
#include "padded_head.h"

namespace powerhouse {
namespace {

using testing::expect_error;
using testing::fixture;
using testing::integers;

const Json& expected() {
  static const Json json = Json::parse_file(POWERHOUSE_FIXTURES "/generation/contrast.json");
  return json;
}

float number(const Json& json) { return static_cast<float>(json.as_double()); }

std::vector<float> floats(const Json& json) {
  std::vector<float> out;
  for (const Json& value : json.as_array()) {
    out.push_back(value.is_null() ? -std::numeric_limits<float>::infinity() : number(value));
  }
  return out;
}

void expect_scores(std::span<const float> found, const Json& json) {
  const std::vector<float> wanted = floats(json);
  ASSERT_EQ(found.size(), wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (std::isinf(wanted[i])) {
      EXPECT_EQ(found[i], wanted[i]) << i;
    } else {
      EXPECT_NEAR(found[i], wanted[i], 1e-5 * std::max(1.0f, std::abs(wanted[i]))) << i;
    }
  }
}

TEST(ContrastLogits, AreThePapersFormulas) {
  for (const Json& rows : expected().at("rows").as_array()) {
    std::vector<std::vector<float>> logits;
    for (const Json& row : rows.at("logits").as_array()) logits.push_back(floats(row));
    for (const Json& one : rows.at("context_aware").as_array()) {
      std::vector<float> row = logits[0];
      context_aware_logits(row, logits[1], {.alpha = number(one.at("alpha"))});
      expect_scores(row, one.at("scores"));
    }
    for (const Json& one : rows.at("contrastive").as_array()) {
      std::vector<float> row = logits[0];
      contrastive_logits(row, logits[1],
                         {.alpha = number(one.at("alpha")),
                          .tau = number(one.at("tau")),
                          .amateur_temperature = number(one.at("temperature"))});
      expect_scores(row, one.at("scores"));
    }
    for (const Json& one : rows.at("dola").as_array()) {
      const std::int64_t early = one.at("early").as_integer();
      const auto width = static_cast<std::int64_t>(logits[0].size());
      const at::Tensor stacked = empty_tensor({early + 1, width}, at::kFloat);
      for (std::int64_t i = 0; i <= early; ++i) {
        const std::vector<float>& from = i == early ? logits.back() : logits[static_cast<std::size_t>(i)];
        std::copy(from.begin(), from.end(), stacked.data_ptr<float>() + i * width);
      }
      const bool reversed = one.at("divergence").as_string() == "reversed";
      std::int64_t premature = -1;
      const at::Tensor scores =
          dola_logits(stacked,
                      {.layers = std::vector<std::int64_t>(static_cast<std::size_t>(early)),
                       .relative_top = number(one.at("relative_top")),
                       .divergence = reversed ? LayerDivergence::reversed : LayerDivergence::jensen_shannon},
                      &premature);
      EXPECT_EQ(premature, one.at("premature").as_integer());
      expect_scores({scores.const_data_ptr<float>(), static_cast<std::size_t>(width)}, one.at("scores"));
    }
  }
}

// By a plan and, where a type is named, by the decoder.
class ContrastRuns : public ::testing::TestWithParam<Dtype> {
 protected:
  CausalLM load(const Json& name) const {
    return CausalLM::from_pretrained(fixture(name.as_string()), {.dtype = GetParam()});
  }
  // What the token is chosen from, as probabilities.
  GenerationOptions options() {
    return {.max_new_tokens = 10, .ignore_eos = true, .processors = {[this](std::span<float> row, const auto&) {
                                                        std::vector<double> shares;
                                                        double total = 0;
                                                        const float best = *std::max_element(row.begin(), row.end());
                                                        for (const float logit : row)
                                                          total += shares.emplace_back(std::exp(double{logit} - best));
                                                        for (double& share : shares) share /= total;
                                                        seen_.push_back(shares);
                                                      }}};
  }
  void expect_run(const GenerationResult& result, const Json& run) {
    SCOPED_TRACE(run.at("strategy").as_string() + " " + run.at("model").as_string());
    EXPECT_EQ(result.ids, integers(run.at("ids")));
    EXPECT_EQ(result.finish_reason, FinishReason::length);
    const Json::Array& steps = run.at("probabilities").as_array();
    ASSERT_EQ(seen_.size(), steps.size());
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const std::vector<float> wanted = floats(steps[i]);
      ASSERT_EQ(seen_[i].size(), wanted.size());
      for (std::size_t id = 0; id < wanted.size(); ++id) EXPECT_NEAR(seen_[i][id], wanted[id], 1e-4) << i << " " << id;
    }
    seen_.clear();
  }

  Tokenizer tokenizer_ = Tokenizer::from_pretrained(POWERHOUSE_FIXTURES "/text/folder");
  std::vector<std::vector<double>> seen_;
};

TEST_P(ContrastRuns, EqualTheReferences) {
  int runs = 0;
  for (const Json& run : expected().at("runs").as_array()) {
    const CausalLM model = load(run.at("model"));
    // The references are of float32, which a plan of another file's type is not.
    if (model.dtype() != Dtype::f32) continue;
    const std::string strategy = run.at("strategy").as_string();
    if (strategy == "context_aware") {
      expect_run(generate_context_aware(model, tokenizer_, integers(run.at("with_context")),
                                        integers(run.at("without")), {.alpha = number(run.at("alpha"))}, options()),
                 run);
    } else if (strategy == "contrastive") {
      const CausalLM amateur = load(run.at("amateur"));
      expect_run(generate_contrastive(model, tokenizer_, {amateur, tokenizer_}, integers(run.at("prompt")),
                                      {.alpha = number(run.at("alpha")),
                                       .tau = number(run.at("tau")),
                                       .amateur_temperature = number(run.at("temperature"))},
                                      options()),
                 run);
    } else {
      ASSERT_EQ(strategy, "dola");
      const std::vector<std::int64_t> layers = integers(run.at("layers"));
      if (const Json* half = run.get("half")) {
        EXPECT_EQ(dola_layers(model.config(), half->as_string()), layers);
      }
      const DolaResult result =
          generate_dola(model, tokenizer_, integers(run.at("prompt")), {.layers = layers}, options());
      expect_run(result.generation, run);
      EXPECT_EQ(result.premature_layers, integers(run.at("premature")));
    }
    ++runs;
  }
  EXPECT_EQ(runs, GetParam() == Dtype::f32 ? 13 : 7);
}

INSTANTIATE_TEST_SUITE_P(Dtypes, ContrastRuns, ::testing::Values(Dtype::automatic, Dtype::f32),
                         [](const auto& info) { return info.param == Dtype::f32 ? "decoder" : "plan"; });

TEST(Contrast, ReportsWhatAContextChanges) {
  const CausalLM model = testing::load("tiny_gqa");
  const Tokenizer tokenizer = Tokenizer::from_pretrained(POWERHOUSE_FIXTURES "/text/folder");
  const std::vector<std::int64_t> with = {8, 22, 6, 17, 1, 5, 9}, without = {1, 5, 9};
  const GenerationOptions options{.max_new_tokens = 5, .ignore_eos = true};
  const ConflictReport report = knowledge_conflict(model, tokenizer, with, without, {}, options);
  Session session(model);
  EXPECT_EQ(report.with_context.ids, generate(session, session.create(), tokenizer, with, options).ids);
  EXPECT_EQ(report.without.ids, generate(session, session.create(), tokenizer, without, options).ids);
  EXPECT_EQ(report.context_aware.ids, generate_context_aware(model, tokenizer, with, without, {}, options).ids);
  EXPECT_EQ(report.conflict, report.with_context.ids[0] != report.without.ids[0]);
  ASSERT_EQ(report.effects.size(), 5u);
  // By hand, from whole passes.
  double gain = 0;
  std::vector<std::int64_t> a = with, b = without;
  for (const ContextEffect& effect : report.effects) {
    const auto last = [&](const std::vector<std::int64_t>& ids) {
      const at::Tensor rows = model.forward(testing::to_tensor(ids));
      return rows.select(0, 0).select(0, -1).to(at::kDouble).log_softmax(-1);
    };
    const at::Tensor p = last(a), q = last(b);
    EXPECT_NEAR(effect.with_context, p[effect.id].item<double>(), 1e-5);
    EXPECT_NEAR(effect.without, q[effect.id].item<double>(), 1e-5);
    const at::Tensor middle = p.exp().add(q.exp()).mul(0.5).log();
    const double divergence = p.exp().mul(p.sub(middle)).add(q.exp().mul(q.sub(middle))).sum().item<double>() / 2;
    EXPECT_NEAR(effect.divergence, divergence, 1e-5);
    gain += effect.with_context - effect.without;
    a.push_back(effect.id);
    b.push_back(effect.id);
  }
  EXPECT_DOUBLE_EQ(report.context_gain(), gain);
  // The context alone makes the difference.
  const ConflictReport same = knowledge_conflict(model, tokenizer, with, with, {}, options);
  EXPECT_FALSE(same.conflict);
  EXPECT_NEAR(same.context_gain(), 0, 1e-9);
  EXPECT_EQ(same.context_aware.ids, same.with_context.ids);
}

// Rows behind the tokens of one tokenizer say nothing, however many a head has.
TEST(Contrast, AmateursMayHavePaddedHeads) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(POWERHOUSE_FIXTURES "/training/reward/tokenizer");
  const CausalLM model = testing::load_with_rows("tiny_gqa", 73, 97);
  const std::vector<std::int64_t> ids = {1, 5, 9, 3, 7};
  const LogitsProcessor known = [](std::span<float> row, const LogitsContext& /*context*/) {
    std::fill(row.begin() + 73, row.end(), -std::numeric_limits<float>::infinity());
  };
  const GenerationOptions options{.max_new_tokens = 20, .ignore_eos = true, .processors = {known}};
  const auto run = [&](const CausalLM& expert, const CausalLM& amateur) {
    return generate_contrastive(expert, tokenizer, {amateur, tokenizer}, ids,
                                {.alpha = 0.02f, .tau = 0.5f, .amateur_temperature = 2}, options)
        .ids;
  };
  const auto wanted = run(model, model);
  for (const std::int64_t rows : {73, 80, 112}) {
    const CausalLM other = testing::load_with_rows("tiny_gqa", 73, rows);
    EXPECT_EQ(run(model, other), wanted) << rows << " rows of the amateur";
    EXPECT_EQ(run(other, model), wanted) << rows << " rows of the expert";
  }
}

// What is likely enough is sought among what a constraint allows, so that there always is something.
TEST(Contrast, IsHeldToConstraints) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(POWERHOUSE_FIXTURES "/training/reward/tokenizer");
  const CausalLM model = testing::load_with_rows("tiny_gqa", 73, 97),
                 amateur = testing::load_with_rows("tiny_gqa", 73, 80);
  const std::vector<std::int64_t> ids = {1, 5, 9, 3, 7};
  const std::string choices[] = {"x y z", "y x"};
  const GenerationOptions options{.max_new_tokens = 20, .constraint = Constraint::from_choices(tokenizer, choices)};
  const auto expect = [&](const GenerationResult& found) {
    EXPECT_TRUE(found.text == choices[0] || found.text == choices[1]) << found.text;
    EXPECT_NE(found.finish_reason, FinishReason::length);
  };
  expect(generate_contrastive(model, tokenizer, {amateur, tokenizer}, ids, {.alpha = 1}, options));
  expect(generate_context_aware(model, tokenizer, ids, std::vector<std::int64_t>{1, 5}, {.alpha = 1}, options));
  expect(generate_dola(model, tokenizer, ids, {.layers = {0, 1}, .relative_top = 1}, options).generation);
}

TEST(Contrast, RefusesWhatMakesNoSense) {
  const CausalLM model = testing::load("tiny_gqa"), other = testing::load("tiny_mqa_linear");
  const Tokenizer tokenizer = Tokenizer::from_pretrained(POWERHOUSE_FIXTURES "/text/folder");
  const Tokenizer alien = Tokenizer::from_pretrained(POWERHOUSE_FIXTURES "/text/nfd");
  const std::vector<std::int64_t> ids = {1, 2, 3};
  const auto usage = [](std::string_view field, auto body) { expect_error(ErrorKind::usage, field, body); };
  usage("alpha", [&] { generate_context_aware(model, tokenizer, ids, ids, {.alpha = -1}); });
  usage("prompt", [&] { generate_context_aware(model, tokenizer, ids, {}); });
  const auto contrastive = [&](const ContrastiveDecodingOptions& options) {
    generate_contrastive(model, tokenizer, {model, tokenizer}, ids, options);
  };
  usage("alpha", [&] { contrastive({.alpha = 0}); });
  usage("alpha", [&] { contrastive({.alpha = 1.5}); });
  usage("tau", [&] { contrastive({.tau = NAN}); });
  usage("amateur_temperature", [&] { contrastive({.amateur_temperature = 0}); });
  expect_error(ErrorKind::unsupported, "amateur", [&] {
    generate_contrastive(model, tokenizer, {other, tokenizer}, ids);
  });
  expect_error(ErrorKind::unsupported, "vocabular", [&] {
    generate_contrastive(model, tokenizer, {model, alien}, ids);
  });
  usage("layers", [&] { generate_dola(model, tokenizer, ids, {}); });
  usage("relative_top", [&] { generate_dola(model, tokenizer, ids, {.layers = {0}, .relative_top = 0}); });
  usage("layers", [&] { dola_layers(model.config(), "middle"); });
  expect_error(ErrorKind::range, "early", [&] { generate_dola(model, tokenizer, ids, {.layers = {2}}); });
  usage("temperature", [&] { knowledge_conflict(model, tokenizer, ids, ids, {}, {.temperature = 1}); });
  std::vector<float> row(4), shorter(3);
  usage("logits", [&] { context_aware_logits(row, shorter); });
}

}  // namespace
}  // namespace powerhouse
