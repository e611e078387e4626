// GGUF files that llama.cpp's own conversion wrote give the logits of the folders they were made from. They are those
// of tests/oracles/families_gguf.py.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "fixture.h"

namespace powerhouse {
namespace {

using namespace testing;

std::string folder_of(const std::string& name) { return fixture("families/" + name); }

// All of them, or those made from a folder that is there.
std::vector<std::string> converted(bool with_folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(fixture("families_gguf"))) {
    const std::string name = entry.path().stem().string();
    if (entry.path().extension() != ".gguf" || (with_folder && !std::filesystem::exists(folder_of(name)))) continue;
    names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

Tensors expected_of(const std::string& name) {
  const std::string own = fixture("families_gguf/" + name + ".expected.safetensors");
  return Tensors(std::filesystem::exists(own) ? own : folder_of(name) + "/expected.safetensors");
}

class FamilyGguf : public ::testing::TestWithParam<std::string> {};

TEST_P(FamilyGguf, GivesTheLogitsOfItsFolder) {
  const CausalLM model = load("families_gguf/" + GetParam() + ".gguf");
  const Tensors expected = expected_of(GetParam());
  const at::Tensor logits = model.forward(expected["input_ids"].narrow(0, 0, 1))[0];
  EXPECT_TRUE(close(logits, expected["single_logits"], kLogitsTolerance));
}

class FamilyGgufAndFolder : public ::testing::TestWithParam<std::string> {};

TEST_P(FamilyGgufAndFolder, HoldTheSameParameters) {
  const CausalLM model = load("families_gguf/" + GetParam() + ".gguf");
  const CausalLM folder = load("families/" + GetParam());
  const auto parameters = folder.named_parameters();
  EXPECT_EQ(model.named_parameters().size(), parameters.size());
  for (const auto& [name, tensor] : parameters) EXPECT_TRUE(model.parameter(name).equal(tensor)) << name;
}

std::string name_of(const ::testing::TestParamInfo<std::string>& info) { return info.param; }

INSTANTIATE_TEST_SUITE_P(Tiny, FamilyGguf, ::testing::ValuesIn(converted(false)), name_of);
INSTANTIATE_TEST_SUITE_P(Tiny, FamilyGgufAndFolder, ::testing::ValuesIn(converted(true)), name_of);

}  // namespace
}  // namespace powerhouse
