// Every family layer by layer: the passes are the decoder's, and 8 bits change little.
#include <gtest/gtest.h>

#include "calibration/calibration_fixture.h"
#include "calibration/gptq_layer.h"
#include "calibration/layerwise.h"
#include "tests/expect_error.h"
#include "tests/random_tensor.h"

namespace powerhouse::testing {
namespace {

// What the last layer made, to logits.
at::Tensor logits_of(Model& model, const CalibrationData& data, const at::Tensor& states) {
  PackedBatch batch;
  for (const auto& sequence : data.sequences) batch.add(sequence, 0);
  for (std::size_t i = 0; i < batch.ids.size(); ++i) batch.logits_rows.push_back(static_cast<std::int64_t>(i));
  return LayerwisePass(model.decoder, std::move(batch)).logits(states);
}

at::Tensor reference_of(const std::string& path, const CalibrationData& data) {
  const CausalLM model = CausalLM::from_pretrained(path, {.dtype = Dtype::f32});
  std::vector<at::Tensor> rows;
  for (const auto& sequence : data.sequences) rows.push_back(model.forward(to_tensor(sequence))[0]);
  return concatenate(rows, 0);
}

class Families : public ::testing::TestWithParam<std::string> {};

TEST_P(Families, LayerByLayerIsTheDecoder) {
  const std::string path = fixture("families/" + GetParam());
  const std::unique_ptr<Model> model = open_layerwise(path);
  const CalibrationData data = random_ids(model->config, 3);
  LayerwiseRun run(*model, data, 0, 0);
  run.embed();
  for (std::int64_t layer = 0; layer < static_cast<std::int64_t>(model->config.layers.size()); ++layer) {
    const DenseLayer dense(model->weights, layer);
    std::int64_t seen = 0;
    run.advance(layer, [&](std::int64_t, Role, std::int64_t, const at::Tensor& x) { seen += x.size(0) > 0; });
    EXPECT_GT(seen, 3);
  }
  EXPECT_TRUE(close(logits_of(*model, data, run.states()), reference_of(path, data), kLogitsTolerance));
}

TEST_P(Families, EightBitsChangeLittleInOnePassAndInSteps) {
  const std::string path = fixture("families/" + GetParam());
  if (!is_packable(GetParam())) {
    const std::unique_ptr<Model> model = open_layerwise(path);
    expect_error(ErrorKind::unsupported, "experts", [&] { linear_targets(model->weights, 0); });
    return;
  }
  const GptqRule rule{.grid = {.bits = 8}, .group_size = -1};
  at::Tensor expected;
  std::vector<std::vector<QuantizedTarget>> found[2];
  for (const bool steps : {false, true}) {
    const std::unique_ptr<Model> model = open_layerwise(path);
    const CalibrationData data = random_ids(model->config, 40);
    std::size_t memory = 0;
    if (steps) {
      try {
        const LayerwiseRun too_little(*model, data, 1, hessian_bytes(*model));
      } catch (const Error& error) {
        memory = std::stoull(error.expected().substr(std::string("at least ").size())) + 1000;
      }
    }
    LayerwiseRun run(*model, data, memory, hessian_bytes(*model));
    EXPECT_EQ(run.parts() > 1, steps);
    run.embed();
    for (std::int64_t layer = 0; layer < static_cast<std::int64_t>(model->config.layers.size()); ++layer) {
      const DenseLayer dense(model->weights, layer);
      found[steps].push_back(quantize_layer(*model, run, layer, rule, true));
      for (const QuantizedTarget& own : found[steps].back()) {
        EXPECT_FALSE(own.codes.codes.empty()) << own.target.name();
        EXPECT_LT(own.report.weight_error, 0.02) << own.target.name();
        EXPECT_LT(own.report.output_error, 0.02) << own.target.name();
      }
    }
    if (!expected.defined()) expected = reference_of(path, data);
    const at::Tensor logits = logits_of(*model, data, run.states());
    const double error =
        logits.sub(expected).norm().item<double>() / expected.sub(expected.mean()).norm().item<double>();
    EXPECT_LT(error, 0.1) << GetParam();
  }
  ASSERT_EQ(found[0].size(), found[1].size());
  for (std::size_t layer = 0; layer < found[0].size(); ++layer) {
    ASSERT_EQ(found[0][layer].size(), found[1][layer].size());
    for (std::size_t i = 0; i < found[0][layer].size(); ++i) {
      const QuantizedTarget& a = found[0][layer][i];
      const QuantizedTarget& b = found[1][layer][i];
      EXPECT_EQ(a.target.name(), b.target.name());
      EXPECT_EQ(a.report.tokens, b.report.tokens) << a.target.name();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Families, ::testing::ValuesIn(family_names()), [](const auto& own) { return own.param; });

TEST(Layerwise, GivesTheFileItsPlaceBack) {
  const std::unique_ptr<Model> model = open_layerwise(fixture("tiny_gqa"));
  const ParameterSpec* spec = nullptr;
  for (const ParameterSpec& own : model->weights.specs()) {
    if (own.role == Role::up_proj && own.layer == 1) spec = &own;
  }
  const void* const mapped = model->weights.weight(*spec).tensor().const_data_ptr();
  {
    const DenseLayer dense(model->weights, 1);
    EXPECT_NE(model->weights.weight(*spec).tensor().const_data_ptr(), mapped);
    model->weights.weight(*spec).matrix().zero_();
  }
  EXPECT_EQ(model->weights.weight(*spec).tensor().const_data_ptr(), mapped);
  EXPECT_GT(model->weights.weight(*spec).tensor().abs().max().item<double>(), 0);
}

TEST(Layerwise, SaysHowMuchMemoryItNeeds) {
  const std::unique_ptr<Model> model = open_layerwise(fixture("tiny_gqa"));
  const CalibrationData data = random_ids(model->config, 2);
  expect_error(ErrorKind::memory, "bytes for 24 tokens", [&] { LayerwiseRun(*model, data, 1000, 0); });
}

TEST(QuantizeLayer, RoundsExpertsThatNoTokenReachedToNearest) {
  const std::unique_ptr<Model> model = open_layerwise(fixture("families/mixtral_experts"));
  const CalibrationData data = random_ids(model->config, 1, 2);  // two tokens can't reach all
  LayerwiseRun run(*model, data, 0, 0);
  run.embed();
  const DenseLayer dense(model->weights, 0);
  const GptqRule rule{.group_size = 8};
  std::int64_t unreached = 0;
  for (const QuantizedTarget& own : quantize_layer(*model, run, 0, rule, true)) {
    if (own.target.expert < 0) continue;
    EXPECT_NE(own.report.note.find("rounded to nearest"), std::string::npos);
    unreached += own.report.tokens == 0;
    EXPECT_LT(own.report.weight_error, 0.2);
  }
  EXPECT_GT(unreached, 0);
}

TEST(QuantizeLayer, NamesTheLayerWhoseInputsAreNotFinite) {
  const std::unique_ptr<Model> model = open_layerwise(fixture("tiny_gqa"));
  const CalibrationData data = random_ids(model->config, 2);
  LayerwiseRun run(*model, data, 0, 0);
  run.embed();
  const_cast<at::Tensor&>(run.states())[3][5].fill_(NAN);
  const DenseLayer dense(model->weights, 0);
  const GptqRule rule{.group_size = 8};
  expect_error(ErrorKind::numeric, "model.layers.0.self_attn.q_proj",
               [&] { quantize_layer(*model, run, 0, rule, true); });
}

}  // namespace
}  // namespace powerhouse::testing
