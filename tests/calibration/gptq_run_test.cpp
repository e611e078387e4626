// Whole folders by GPTQ: what is in them, and what becomes of a run that ends early.
#include "powerhouse/gptq.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "calibration/calibration_fixture.h"
#include "formats/safetensors.h"
#include "tests/expect_error.h"
#include "tests/random_tensor.h"

namespace powerhouse::testing {
namespace {

namespace fs = std::filesystem;

TEST(GptqRun, DenseAndPackedFoldersSayTheSame) {
  const TemporaryFolder folder;
  const std::string source = write_model(folder);
  const std::string text = text_of(1, 200);
  GptqOptions options{.bits = 4, .group_size = 32};
  std::vector<std::int64_t> layers;
  const QuantizationReport report =
      quantize_gptq(source, folder.file("packed"), text, options, kCalibration,
                    {.on_layer = [&](std::int64_t done, std::int64_t total, const auto& linears) {
                      layers.push_back(done);
                      EXPECT_EQ(total, 2);
                      EXPECT_EQ(linears.size(), 7U);
                    }});
  EXPECT_EQ(layers, (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(report.tokens, 16 * 32);
  ASSERT_EQ(report.linears.size(), 14U);
  EXPECT_EQ(report.linears[0].name, "model.layers.0.self_attn.q_proj");
  EXPECT_TRUE(report.warnings.empty());
  for (const LinearReport& own : report.linears) {
    EXPECT_GT(own.output_error, 0.001) << own.name;
    EXPECT_LT(own.output_error, own.weight_error) << own.name;  // or nothing was gained
    EXPECT_LT(own.weight_error, 0.2) << own.name;
    EXPECT_EQ(own.tokens, 512) << own.name;
  }
  const Json config = Json::parse_file(folder.file("packed") + "/config.json");
  const Json& quantization = config.at("quantization_config");
  EXPECT_EQ(quantization.at("quant_method").as_string(), "gptq");
  EXPECT_EQ(quantization.at("bits").as_integer(), 4);
  EXPECT_FALSE(fs::exists(folder.file("packed") + ".partial"));
  EXPECT_TRUE(fs::exists(folder.file("packed") + "/tokenizer.json"));

  options.checkpoint_format = "dense";
  quantize_gptq(source, folder.file("dense"), text, options, kCalibration);
  const CausalLM dense = CausalLM::from_pretrained(folder.file("dense"), {.dtype = Dtype::f32});
  const CausalLM whole = CausalLM::from_pretrained(source, {.dtype = Dtype::f32});
  const at::Tensor weight = dense.parameter("model.layers.1.mlp.down_proj.weight");
  const double error = max_difference(weight, whole.parameter("model.layers.1.mlp.down_proj.weight"));
  EXPECT_GT(error, 0.0);
  EXPECT_LT(error, 0.3);
  EXPECT_TRUE(same_bits(dense.parameter("model.embed_tokens.weight"), whole.parameter("model.embed_tokens.weight")));
}

TEST(GptqRun, GoesOnWhereItEndedToTheSameBytes) {
  const TemporaryFolder folder;
  const std::string source = write_model(folder);
  const std::string text = text_of(1, 200);
  const GptqOptions options{.bits = 3, .group_size = 32, .sym = false, .desc_act = true};
  std::stop_source stop;
  const QuantizationCallbacks stopping{
      .on_layer = [&](std::int64_t, std::int64_t, const auto&) { stop.request_stop(); }, .stop = stop.get_token()};
  expect_error(ErrorKind::cancelled, "1 of 2 layers",
               [&] { quantize_gptq(source, folder.file("a"), text, options, kCalibration, stopping); });
  EXPECT_FALSE(fs::exists(folder.file("a")));
  // Of another config it is refused.
  expect_error(ErrorKind::usage, "another quantization was begun",
               [&] { quantize_gptq(source, folder.file("a"), text, {.bits = 4, .group_size = 32}, kCalibration); });
  const QuantizationReport report = quantize_gptq(source, folder.file("a"), text, options, kCalibration);
  EXPECT_EQ(report.resumed_layers, 1);
  EXPECT_EQ(report.linears.size(), 14U);
  quantize_gptq(source, folder.file("b"), text, options, kCalibration);
  const SafetensorsFile a = read_safetensors(folder.file("a") + "/model.safetensors");
  const SafetensorsFile b = read_safetensors(folder.file("b") + "/model.safetensors");
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (std::size_t i = 0; i < a.tensors.size(); ++i) {
    ASSERT_EQ(a.tensors[i].name, b.tensors[i].name);
    ASSERT_EQ(a.tensors[i].bytes, b.tensors[i].bytes);
    EXPECT_TRUE(std::equal(a.tensors[i].data, a.tensors[i].data + a.tensors[i].bytes, b.tensors[i].data))
        << a.tensors[i].name;
  }
  expect_error(ErrorKind::usage, "there already",
               [&] { quantize_gptq(source, folder.file("a"), text, options, kCalibration); });
}

TEST(GptqRun, WithinLittleMemoryTheResultIsNearlyTheSame) {
  const TemporaryFolder folder;
  const std::string source = write_model(folder);
  const std::string text = text_of(1, 200);
  GptqOptions options{.group_size = 32, .checkpoint_format = "dense"};
  const QuantizationReport whole = quantize_gptq(source, folder.file("a"), text, options, kCalibration);
  CalibrationOptions little = kCalibration;
  little.memory = 1;
  std::size_t least = 0;
  try {
    quantize_gptq(source, folder.file("b"), text, options, little);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::memory);
    least = std::stoull(error.expected().substr(std::string("at least ").size()));
  }
  little.memory = least;
  const QuantizationReport parts = quantize_gptq(source, folder.file("b"), text, options, little);
  ASSERT_EQ(whole.linears.size(), parts.linears.size());
  for (std::size_t i = 0; i < whole.linears.size(); ++i) {
    EXPECT_EQ(whole.linears[i].tokens, parts.linears[i].tokens);
    EXPECT_NEAR(whole.linears[i].output_error, parts.linears[i].output_error, 0.1 * whole.linears[i].output_error);
  }
}

TEST(GptqRun, WithoutTrueSequentialAllMapsSeeTheWholeLayer) {
  const TemporaryFolder folder;
  const std::string source = write_model(folder);
  const std::string text = text_of(1, 200);
  GptqOptions options{.bits = 3, .group_size = 32, .checkpoint_format = "dense"};
  const QuantizationReport one = quantize_gptq(source, folder.file("a"), text, options, kCalibration);
  options.true_sequential = false;
  const QuantizationReport other = quantize_gptq(source, folder.file("b"), text, options, kCalibration);
  ASSERT_EQ(one.linears.size(), other.linears.size());
  // Queries of the first layer read the same either way, what is behind them does not.
  EXPECT_NEAR(one.linears[0].output_error, other.linears[0].output_error, 1e-6);
  EXPECT_NE(one.linears[6].output_error, other.linears[6].output_error);
  for (const LinearReport& own : other.linears) EXPECT_LT(own.output_error, own.weight_error) << own.name;
}

TEST(GptqRun, RefusesWhatItCannotDo) {
  const TemporaryFolder folder;
  const std::string source = write_model(folder);
  const std::string text = text_of(1, 200);
  const std::string out = folder.file("out");
  const auto run = [&](GptqOptions options, CalibrationOptions calibration = kCalibration) {
    quantize_gptq(source, out, text, options, calibration);
  };
  expect_error(ErrorKind::range, "bits", [&] { run({.bits = 5}); });
  expect_error(ErrorKind::range, "damp_percent", [&] { run({.damp_percent = 0}); });
  expect_error(ErrorKind::range, "scale_search", [&] { run({.scale_search = "percentile"}); });
  expect_error(ErrorKind::range, "checkpoint_format", [&] { run({.checkpoint_format = "gptq3"}); });
  expect_error(ErrorKind::unsupported, "model.layers.0.self_attn.q_proj", [&] { run({.group_size = 128}); });
  expect_error(ErrorKind::range, "context", [&] { run({.group_size = 32}, {.sequence_length = 512}); });
  expect_error(ErrorKind::range, "at least 32 tokens",
               [&] { quantize_gptq(source, out, "short", {.group_size = 32}, kCalibration); });
  CalibrationOptions overlapping = kCalibration;
  overlapping.evaluation_text = "something else first " + text.substr(100, 60);
  expect_error(ErrorKind::usage, "overlap", [&] { run({.group_size = 32}, overlapping); });
  EXPECT_FALSE(fs::exists(out));
  CalibrationOptions many = kCalibration;
  many.sequences = 1000;
  const QuantizationReport report = quantize_gptq(source, out, text, {.group_size = 32}, many);
  ASSERT_FALSE(report.warnings.empty());
  EXPECT_NE(report.warnings[0].find("not 1000"), std::string::npos);
}

}  // namespace
}  // namespace powerhouse::testing
