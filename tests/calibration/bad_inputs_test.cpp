// What the calibration text makes of a damaged model, and what there is too little of: said by name, and nothing
// written.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <limits>

#include "calibration/calibration_fixture.h"
#include "formats/quantized_folder.h"
#include "formats/safetensors.h"
#include "powerhouse/quantization.h"
#include "tests/expect_error.h"

namespace powerhouse::testing {
namespace {

namespace fs = std::filesystem;

// The model with one number of its second layer's first norm replaced: what that layer reads is then not finite.
std::string write_damaged(const TemporaryFolder& folder, const std::string& whole, float value) {
  CausalLM model = CausalLM::from_pretrained(whole, {.dtype = Dtype::f32});
  model.parameter("model.layers.1.input_layernorm.weight")[3].fill_(value);
  model.save_pretrained(folder.file("damaged"));
  return folder.file("damaged");
}

TEST(BadInputs, ActivationsThatAreNotFiniteAreNamed) {
  const TemporaryFolder folder;
  const std::string whole = write_byte_model(folder);
  QuantizationOptions options{.calibration_text = text_of(1, 200), .calibration = kCalibration};
  options.gptq.group_size = options.awq.group_size = 32;
  for (const float value : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const std::string source = write_damaged(folder, whole, value);
    for (const char* type : {"gptq", "awq"}) {
      options.type = type;
      const std::string output = folder.file(type);
      expect_error(ErrorKind::numeric, "model.layers.1.", [&] { quantize(source, output, options); });
      EXPECT_FALSE(fs::exists(output)) << type;
      fs::remove_all(output + ".partial");  // the first layer, which is whole
    }
    for (const char* type : {"Q4_0", "budget"}) {
      options.type = type;
      options.budget.bits_per_weight = 5;
      const std::string output = folder.file("out.gguf");
      expect_error(ErrorKind::numeric, "blk.1.", [&] { quantize(source, output, options); });
      EXPECT_FALSE(fs::exists(output)) << type;
      EXPECT_FALSE(fs::exists(output + ".partial")) << type;
    }
  }
}

TEST(BadInputs, TooLittleTextIsRefusedOrReported) {
  const TemporaryFolder folder;
  const std::string source = write_model(folder);
  const GptqOptions options{.group_size = 32};
  expect_error(ErrorKind::range, "at least 32 tokens",
               [&] { quantize_gptq(source, folder.file("a"), "too short", options, kCalibration); });
  EXPECT_FALSE(fs::exists(folder.file("a") + ".partial"));
  const QuantizationReport report = quantize_gptq(source, folder.file("a"), text_of(1, 9), options, kCalibration);
  const auto warned = [&](const std::string& words) {
    return std::any_of(report.warnings.begin(), report.warnings.end(),
                       [&](const std::string& text) { return text.find(words) != std::string::npos; });
  };
  EXPECT_TRUE(warned("1 sequences of 32 tokens, not 16"));
  EXPECT_TRUE(warned("model.layers.0.self_attn.q_proj: 32 tokens for 64 inputs"));
}

// In one program with what writes such folders.
TEST(BadInputs, APackedWeightThatLacksAPartIsNamed) {
  const std::string path = std::string(POWERHOUSE_FIXTURES) + "/model/packed/gptq3";
  std::vector<TensorView> tensors = read_safetensors(path + "/model.safetensors").tensors;
  const std::string gone = "model.layers.1.self_attn.v_proj.scales";
  ASSERT_EQ(std::erase_if(tensors, [&](const TensorView& tensor) { return tensor.name == gone; }), 1U);
  const Json config = Json::parse_file(path + "/config.json");
  expect_error(ErrorKind::format, gone, [&] { join_quantized(tensors, quantization_of(config, path), path); });
}

}  // namespace
}  // namespace powerhouse::testing
