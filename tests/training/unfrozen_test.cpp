// unfrozen_parameters: Axolotl's patterns onto a model's own parameters.
#include "training/unfrozen.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "expect_error.h"
#include "model/fixture.h"

namespace powerhouse {
namespace {

using testing::expect_error;
using ::testing::UnorderedElementsAre;

class Unfrozen : public ::testing::Test {
 protected:
  std::vector<std::string> trained(const std::vector<std::string>& patterns) {
    train_only(model_, patterns);
    std::vector<std::string> names;
    for (const auto& [name, tensor] : model_.trainable_parameters()) names.push_back(name);
    return names;
  }
  CausalLM model_ = testing::load("families/llama_llama3");
};

TEST_F(Unfrozen, PatternsFitAtTheBeginning) {
  EXPECT_THAT(trained({"lm_head"}), UnorderedElementsAre("lm_head.weight"));
  EXPECT_THAT(trained({"^model.norm.weight$", "model.layers.[1-9].mlp.(up|down)_proj"}),
              UnorderedElementsAre("model.norm.weight", "model.layers.1.mlp.up_proj.weight",
                                   "model.layers.1.mlp.down_proj.weight"));
  EXPECT_THAT(
      trained({"model.layers.0.*layernorm"}),
      UnorderedElementsAre("model.layers.0.input_layernorm.weight", "model.layers.0.post_attention_layernorm.weight"));
  EXPECT_THAT(trained({"model\\.norm\\..+"}), UnorderedElementsAre("model.norm.weight"));
  expect_error(ErrorKind::not_found, "up_proj", [&] { trained({"up_proj"}); });  // stands further in
}

TEST_F(Unfrozen, ADotIsADot) {
  expect_error(ErrorKind::not_found, "lm.head", [&] { trained({"lm.head"}); });
}

TEST_F(Unfrozen, WhatIsNoPattern) {
  expect_error(ErrorKind::usage, "unfrozen_parameters", [&] { trained({"model.(norm"}); });
  expect_error(ErrorKind::unsupported, "[:8]", [&] { trained({"^model.embed_tokens.weight$[:8]"}); });
  expect_error(ErrorKind::unsupported, "rows", [&] { trained({"model.embed_tokens.weight[3]"}); });
  // What fits nothing is a mistake, also beside one that fits.
  expect_error(ErrorKind::not_found, "mode1", [&] { trained({"lm_head", "mode1.norm"}); });
  // Patterns that std::regex would run out of stack or time on.
  expect_error(ErrorKind::not_found, "", [&] { trained({"(.*)*" + std::string(5000, 'x')}); });
  expect_error(ErrorKind::usage, "runs away", [&] { trained({"((([a-z_.]+)+)+)+[0-9][0-9][0-9]"}); });
}

}  // namespace
}  // namespace powerhouse
