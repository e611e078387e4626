// Groups against transformers' and PEFT's own (tests/oracles/optimizers.py), and the names of optimizers.
#include <gtest/gtest.h>

#include "expect_error.h"
#include "training/optimizer_cases.h"

namespace powerhouse::testing {
namespace {

Json groups_fixture() { return Json::parse_file(std::string(POWERHOUSE_FIXTURES) + "/training/parameter_groups.json"); }

std::vector<NamedTensor> parameters_of(const Json& rows) {
  std::vector<NamedTensor> parameters;
  for (const Json& row : rows.as_array()) {
    const std::vector<std::int64_t> sizes(static_cast<std::size_t>(row.at("dimensions").as_integer()), 2);
    parameters.emplace_back(row.at("name").as_string(), numbers(1, sizes, 1, at::kFloat).set_requires_grad(true));
  }
  return parameters;
}

const ParameterGroup& group_of(const std::vector<ParameterGroup>& groups, const std::string& name) {
  for (const ParameterGroup& group : groups) {
    for (const NamedTensor& parameter : group.parameters) {
      if (parameter.first == name) return group;
    }
  }
  throw std::runtime_error(name + " is in no group");
}

TEST(ParameterGroups, DecayWhatTransformersDecays) {
  const Json fixture = groups_fixture();
  for (const auto& [model, rows] : fixture.at("decay").as_object()) {
    const auto groups = make_parameter_groups(parameters_of(rows));
    for (const Json& row : rows.as_array()) {
      const std::string& name = row.at("name").as_string();
      EXPECT_EQ(!group_of(groups, name).weight_decay, row.at("decays").as_bool()) << model << " " << name;
    }
  }
}

TEST(ParameterGroups, HavePeftsLoraPlusRates) {
  const Json fixture = groups_fixture();
  const Json& rows = fixture.at("loraplus");
  const auto groups = make_parameter_groups(parameters_of(rows), {.loraplus_lr_ratio = 16});
  ASSERT_GE(rows.as_array().size(), 6u);
  for (const Json& row : rows.as_array()) {
    const std::string& name = row.at("name").as_string();
    const ParameterGroup& group = group_of(groups, name);
    EXPECT_DOUBLE_EQ(group.lr.value_or(1e-3) * group.lr_scale, row.at("lr").as_double()) << name;
    EXPECT_EQ(!group.weight_decay, row.at("decays").as_bool()) << name;
  }
}

TEST(ParameterGroups, LeaveVocabularyAndVectorsToAdamW) {
  const at::Tensor matrix = numbers(1, {2, 2}, 1, at::kFloat), vector = numbers(1, {2}, 1, at::kFloat);
  const std::vector<NamedTensor> parameters = {{"model.embed_tokens.weight", matrix},
                                               {"model.layers.0.mlp.up_proj.weight", matrix},
                                               {"model.norm.weight", vector},
                                               {"lm_head.weight", matrix}};
  const auto groups = make_parameter_groups(parameters);
  EXPECT_FALSE(group_of(groups, "model.embed_tokens.weight").muon);
  EXPECT_TRUE(group_of(groups, "model.layers.0.mlp.up_proj.weight").muon);
  EXPECT_FALSE(group_of(groups, "model.norm.weight").muon);
  EXPECT_FALSE(group_of(groups, "lm_head.weight").muon);
  ASSERT_EQ(groups.size(), 3u);
  EXPECT_EQ(groups[0].parameters.size(), 2u);  // embeddings and head share their settings
}

TEST(ParameterGroups, TakeTheFirstOwnRateThatFits) {
  const at::Tensor matrix = numbers(1, {2, 2}, 1, at::kFloat);
  const std::vector<NamedTensor> parameters = {{"a.embed", matrix}, {"a.up", matrix}, {"b.up", matrix}};
  const auto groups = make_parameter_groups(parameters, {.learning_rates = {{"embed", 1e-5}, {"a.", 1e-4}}});
  EXPECT_EQ(group_of(groups, "a.embed").lr, 1e-5);
  EXPECT_EQ(group_of(groups, "a.up").lr, 1e-4);
  EXPECT_EQ(group_of(groups, "b.up").lr, std::nullopt);
  expect_error(ErrorKind::range, "loraplus_lr_ratio",
               [&] { make_parameter_groups(parameters, {.loraplus_lr_ratio = 0}); });
}

TEST(OptimizerNames, GiveTheirMethods) {
  const OptimizerSettings settings{
      .learning_rate = 0.5, .weight_decay = 0.25, .adam_beta2 = 0.75, .adam_epsilon = 0.125};
  for (const char* name : {"adamw", "adamw_torch", "adamw_torch_fused", "paged_adamw_32bit"}) {
    const NamedOptimizer named = optimizer_options(name, settings);
    const auto& options = std::get<AdamWOptions>(named.options);
    EXPECT_EQ(options.lr, 0.5);
    EXPECT_EQ(options.weight_decay, 0.25);
    EXPECT_EQ(options.beta1, 0.9);
    EXPECT_EQ(options.beta2, 0.75);
    EXPECT_EQ(options.eps, 0.125);
    EXPECT_EQ(named.paged, std::string_view(name).starts_with("paged"));
  }
  EXPECT_TRUE(std::holds_alternative<AdamW8bitOptions>(optimizer_options("adamw_bnb_8bit").options));
  EXPECT_TRUE(optimizer_options("paged_adamw_8bit").paged);
  const auto adafactor = std::get<AdafactorOptions>(optimizer_options("adafactor", settings).options);
  EXPECT_EQ(adafactor.lr, 0.5);
  EXPECT_FALSE(adafactor.relative_step || adafactor.scale_parameter);
  const auto muon = std::get<MuonOptions>(optimizer_options("muon", settings).options);
  EXPECT_EQ(muon.adamw.lr, 0.5);
  EXPECT_EQ(muon.eps, 1e-7);
  EXPECT_EQ(std::get<LionOptions>(optimizer_options("lion").options).beta2, 0.99);
  expect_error(ErrorKind::usage, "adam_w", [] { optimizer_options("adam_w"); });
  expect_error(ErrorKind::unsupported, "lion_8bit", [] { optimizer_options("lion_8bit"); });
  expect_error(ErrorKind::usage, "paged_sgd", [] { optimizer_options("paged_sgd"); });
}

}  // namespace
}  // namespace powerhouse::testing
