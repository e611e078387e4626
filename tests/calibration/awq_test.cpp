// AWQ: scales leave every family what it was, and lessen the error of outputs.
#include "powerhouse/awq.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "calibration/awq_groups.h"
#include "calibration/awq_layer.h"
#include "calibration/calibration_fixture.h"
#include "calibration/gptq_solver.h"
#include "calibration/hessian.h"
#include "tests/expect_error.h"
#include "tests/random_tensor.h"

namespace powerhouse::testing {
namespace {

class AwqFamilies : public ::testing::TestWithParam<std::string> {};

// All groups that a family's wiring allows, by scales from 0.5 to 2: in exact arithmetic its layers make what they
// made.
TEST_P(AwqFamilies, GroupsFoldWithoutChangingTheModel) {
  const std::string path = fixture("families/" + GetParam());
  const std::unique_ptr<Model> model = open_layerwise(path);
  const CalibrationData data = random_ids(model->config, 12);
  LayerwiseRun run(*model, data, 0, 0);
  run.embed();
  const AwqOptions options{.group_size = -1, .version = "dense", .n_grid = 4, .search_tokens = 48};
  for (std::int64_t layer = 0; layer < static_cast<std::int64_t>(model->config.layers.size()); ++layer) {
    const DenseLayer dense(model->weights, layer);
    const Block& block = model->config.layers[static_cast<std::size_t>(layer)];
    const std::vector<LinearTarget> targets = linear_targets(model->weights, layer);
    const auto groups = scale_groups(block, targets);
    auto [pass, states] = run.sample(24);
    const at::Tensor before = pass.layer(layer, states);
    for (const ScaleGroup& group : groups) scale_by_hand(*model, layer, group, targets);
    EXPECT_TRUE(close(pass.layer(layer, states), before, 2e-4)) << "layer " << layer << ", " << groups.size();
    run.advance(layer);
  }
}

// What a layer makes of the states, against what it made.
double error_of_layer(LayerwiseRun& run, std::int64_t layer, const at::Tensor& states, const at::Tensor& exact) {
  run.restore(states.clone());
  run.advance(layer);
  return run.states().sub(exact).norm().item<double>() / exact.norm().item<double>();
}

TEST_P(AwqFamilies, LayersAreNearerThanRoundedOnes) {
  const std::string path = fixture("families/" + GetParam());
  const std::unique_ptr<Model> model = open_layerwise(path);
  const CalibrationData data = random_ids(model->config, 30);
  LayerwiseRun run(*model, data, 0, 0);
  run.embed();
  const AwqOptions options{.group_size = -1, .version = "dense", .search_tokens = 360};
  const GptqRule rule{.grid = {.symmetric = false}, .group_size = -1};
  double scaled = 0, rounded = 0;
  for (std::int64_t layer = 0; layer < static_cast<std::int64_t>(model->config.layers.size()); ++layer) {
    const at::Tensor states = run.states().clone();
    at::Tensor exact;  // of the layer before it is quantized
    {
      const DenseLayer dense(model->weights, layer);
      for (const QuantizedTarget& own : quantize_layer_awq(*model, run, layer, options, at::kFloat)) {
        EXPECT_LT(own.report.output_error, 0.3) << own.target.name();
      }
      exact = run.states().clone();
      scaled += error_of_layer(run, layer, states, exact);
    }
    const DenseLayer dense(model->weights, layer);
    for (const LinearTarget& target : linear_targets(model->weights, layer)) {
      const at::Tensor matrix = target.matrix(model->weights);
      matrix.copy_(solve_gptq(matrix, {}, rule, target.name()).values);
    }
    rounded += error_of_layer(run, layer, states, exact);
    run.restore(exact);
  }
  EXPECT_LT(scaled, 1.02 * rounded);
  EXPECT_GT(scaled, 0.0);
}

std::vector<std::string> packable_families() {
  std::vector<std::string> names = family_names();
  std::erase_if(names, [](const std::string& name) { return !is_packable(name); });
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, AwqFamilies, ::testing::ValuesIn(packable_families()),
                         [](const auto& own) { return own.param; });

TEST(AwqGroups, AreThoseOfTheWiring) {
  const auto groups_of = [](const std::string& name) {
    const std::unique_ptr<Model> model = open_layerwise(fixture("families/" + name));
    std::vector<Role> feeds;
    for (const ScaleGroup& group : scale_groups(model->config.layers.front(), linear_targets(model->weights, 0))) {
      feeds.push_back(group.feed);
    }
    return feeds;
  };
  using Roles = std::vector<Role>;
  EXPECT_EQ(groups_of("llama_llama3"), (Roles{Role::attention_norm, Role::mlp_norm, Role::up_proj}));
  EXPECT_EQ(groups_of("gpt2_unscaled"), (Roles{Role::attention_norm, Role::qkv_proj, Role::mlp_norm}));
  EXPECT_EQ(groups_of("opt_pre_norm"), (Roles{Role::attention_norm, Role::v_proj, Role::mlp_norm, Role::up_proj}));
  EXPECT_EQ(groups_of("opt_post_norm"), (Roles{Role::v_proj, Role::up_proj}));
  EXPECT_EQ(groups_of("bloom_post"), (Roles{Role::qkv_proj}));  // the residual reads the norm too
  EXPECT_EQ(groups_of("olmo2_post_norm"), (Roles{Role::up_proj}));
  EXPECT_EQ(groups_of("gptj_full"), (Roles{Role::attention_norm, Role::v_proj}));
}

TEST(AwqRanges, AreThoseOfTheLeastError) {
  const at::Tensor weight = random_tensor({16, 64}, at::kFloat, 3);
  weight[2][5].fill_(9.0);  // far out, and of an input that is hardly there
  at::Tensor inputs = random_tensor({300, 64}, at::kFloat, 4);
  inputs.select(1, 5).mul_(0.001);
  Hessian hessian;
  hessian.add(inputs);
  const AwqOptions options{.group_size = 32};
  const Ranges ranges = best_ranges(weight, hessian.matrix(), options);
  const GptqRule rule{.grid = {.symmetric = false}, .group_size = 32};
  const auto cut_at = [&](const Ranges& cut) { return solve_gptq(cut.cut(weight), {}, rule, "").values; };
  const auto error_of = [&](const at::Tensor& values, std::int64_t group) {  // of each output, by the inputs themselves
    const at::Tensor error = values.sub(weight).narrow(1, group * 32, 32);
    return inputs.narrow(1, group * 32, 32).mm(error.t()).pow(2).sum({0});
  };
  const at::Tensor whole = weight.unflatten(1, {2, 32}).abs().amax({2}).t();
  EXPECT_NEAR(ranges.high[0][2].item<double>(), 9.0 * 0.55, 1e-4);
  for (std::int64_t group = 0; group < 2; ++group) {
    const at::Tensor found = error_of(cut_at(ranges), group);
    for (int i = 0; i < 10; ++i) {
      const at::Tensor limit = whole.mul(1 - i / 20.0);
      const at::Tensor other = error_of(cut_at({limit.neg(), limit}), group);
      EXPECT_TRUE(found.le(other.mul(1.0001)).all().item<bool>()) << group << " " << i;
    }
  }
}

TEST(AwqRun, FoldersOfBothVersionsAndDense) {
  namespace fs = std::filesystem;
  const TemporaryFolder folder;
  const std::string source = write_model(folder);
  const std::string text = text_of(1, 200);
  const auto run = [&](const std::string& version, AwqOptions options) {
    options.version = version;
    return quantize_awq(source, folder.file(version), text, options, kCalibration);
  };
  const QuantizationReport report = run("gemm", {.group_size = 32});
  ASSERT_EQ(report.linears.size(), 14U);
  for (const LinearReport& own : report.linears) EXPECT_LT(own.output_error, 0.15) << own.name;
  run("gemv", {.group_size = 32});
  run("dense", {.group_size = 32});
  const Json config = Json::parse_file(folder.file("gemm") + "/config.json");
  EXPECT_EQ(config.at("quantization_config").at("quant_method").as_string(), "awq");
  EXPECT_EQ(config.at("torch_dtype").as_string(), "float16");
  const CausalLM whole = CausalLM::from_pretrained(source, {.dtype = Dtype::f32});
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < 40; ++i) ids.push_back(3 + i * 7 % 50);
  const at::Tensor expected = whole.forward(to_tensor(ids));
  const auto error_of = [&](const CausalLM& model) {
    return model.forward(to_tensor(ids)).sub(expected).norm().item<double>();
  };
  const CausalLM dense = CausalLM::from_pretrained(folder.file("dense"), {.dtype = Dtype::f32});
  const CausalLM rounded = whole.clone();
  const GptqRule rule{.grid = {.symmetric = false}, .group_size = 32};
  for (const LinearReport& own : report.linears) {
    const at::Tensor weight = rounded.parameter(own.name + ".weight").detach();
    weight.copy_(solve_gptq(weight, {}, rule, own.name).values);
  }
  EXPECT_LT(error_of(dense), error_of(rounded));
  EXPECT_GT(error_of(dense), 0.0);
  expect_error(ErrorKind::range, "version", [&] { run("marlin", {}); });
  expect_error(ErrorKind::unsupported, "q_proj",
               [&] { quantize_awq(source, folder.file("x"), text, {.group_size = 128}, kCalibration); });
}

}  // namespace
}  // namespace powerhouse::testing
