// Folders of HQQ that quantize() writes, read back by our reader; tests/oracles/hqq_written.py has transformers and the
// hqq package read them. What a matrix becomes is held to the package in tests/quantization/hqq_test.cpp.
#include <gtest/gtest.h>

#include <filesystem>
#include <stop_token>

#include "calibration/calibration_fixture.h"
#include "calibration/layerwise.h"
#include "calibration/quantized_modules.h"
#include "formats/hqq.h"
#include "formats/safetensors.h"
#include "ops/tensors.h"
#include "powerhouse/int8.h"
#include "powerhouse/quantization.h"
#include "tests/expect_error.h"
#include "tests/file_bytes.h"

namespace powerhouse::testing {
namespace {

namespace fs = std::filesystem;

std::vector<float> rows_of(const LinearTarget& target, const ModuleRows& own, const Model& model) {
  at::Tensor matrix = target.matrix(model.weights);
  if (!own.rows.empty()) matrix = matrix.index_select(0, index_tensor(own.rows));
  matrix = matrix.contiguous();
  return {matrix.const_data_ptr<float>(), matrix.const_data_ptr<float>() + matrix.numel()};
}

// Every module of the folder, as the source's matrix quantized by itself.
void expect_quantized(const std::string& source, const std::string& output, HqqOptions options,
                      const QuantizationSummary& report) {
  options.round_zero = options.bits == 4;
  const std::unique_ptr<Model> from = open_layerwise(source);
  const std::unique_ptr<Model> to = open_layerwise(output);
  std::size_t seen = 0;
  for (std::int64_t layer = 0; layer < static_cast<std::int64_t>(from->config.layers.size()); ++layer) {
    const std::vector<LinearTarget> targets = linear_targets(from->weights, layer);
    const DenseLayer source_layer(from->weights, layer);
    const DenseLayer written_layer(to->weights, layer);
    for (const LinearTarget& target : targets) {
      for (const ModuleRows& own : target.modules) {
        const std::vector<float> values = rows_of(target, own, *from);
        const std::int64_t columns = target.inputs();
        HqqMatrix matrix = quantize_hqq(values, static_cast<std::int64_t>(values.size()) / columns, columns, options);
        round_levels(matrix, own.name);
        LinearTarget written = target;
        for (const ParameterSpec& spec : to->weights.specs()) {
          if (spec.name == target.spec->name) written.spec = &spec;
        }
        const std::vector<float> wanted = dequantize_hqq(matrix);
        EXPECT_EQ(rows_of(written, own, *to), wanted) << own.name;
        ASSERT_LT(seen, report.tensors.size());
        EXPECT_EQ(report.tensors[seen].name, own.name);
        EXPECT_EQ(report.tensors[seen].shape, (std::vector<std::int64_t>{matrix.rows, columns}));
        EXPECT_EQ(report.tensors[seen].relative_error, quantization_error(values, wanted).relative) << own.name;
        ++seen;
      }
    }
  }
  EXPECT_EQ(seen, report.tensors.size());
}

TEST(HqqFolder, HoldsWhatQuantizeHqqFinds) {
  const TemporaryFolder folder;
  const std::string source = write_byte_model(folder);
  double last = 0;
  for (const int bits : {8, 4, 3, 2, 1}) {
    const std::string output = folder.file("hqq" + std::to_string(bits));
    QuantizationOptions options{.type = "HQQ", .hqq = {.bits = bits, .group_size = bits == 3 ? 64 : 32}};
    const QuantizationSummary report = quantize(source, output, options);
    expect_quantized(source, output, options.hqq, report);
    EXPECT_GT(report.relative_error, last) << bits;
    last = report.relative_error;
    std::uint64_t bytes = 0;
    std::int64_t dense = 0;
    for (const TensorView& view : read_safetensors_folder(output)) {
      bytes += view.bytes;
      dense += view.name.ends_with(".weight") ? view.elements() : 0;
    }
    EXPECT_EQ(report.bytes, bytes);
    for (const QuantizedTensor& tensor : report.tensors) dense += tensor.shape[0] * tensor.shape[1];
    EXPECT_EQ(report.weights, dense);
    EXPECT_FALSE(fs::exists(output + ".partial"));
    const CausalLM model = CausalLM::from_pretrained(output, {.dtype = Dtype::f32});
    model.forward(to_tensor({1, 5, 9, 3}));
  }
}

// Matrices that the folder holds transposed or fused, and experts in tensors of their own.
TEST(HqqFolder, CutsFusedMatricesIntoTheFoldersModules) {
  const TemporaryFolder folder;
  for (const char* name : {"packed/gptq4_gpt2", "packed/gptq4_mixtral"}) {
    const std::string output = folder.file(fs::path(name).filename().string());
    const QuantizationOptions options{.type = "hqq", .hqq = {.group_size = 32}};
    expect_quantized(fixture(name), output, options.hqq, quantize(fixture(name), output, options));
  }
  const Json config = Json::parse_file(folder.file("gptq4_mixtral") + "/config.json").at("quantization_config");
  EXPECT_EQ(config.at("quant_method").as_string(), "hqq");
  EXPECT_EQ(config.at("skip_modules").dump(), R"(["lm_head","block_sparse_moe.gate"])");
}

TEST(HqqFolder, GoesOnBehindTheLastLayer) {
  const TemporaryFolder folder;
  const std::string source = write_byte_model(folder);
  const std::string output = folder.file("out");
  std::stop_source stop;
  QuantizationOptions options{.type = "hqq"};
  const QuantizationSummary whole = quantize(source, folder.file("whole"), options);
  options.cancel = stop.get_token();
  options.on_progress = [&](const QuantizationProgress&) { stop.request_stop(); };
  expect_error(ErrorKind::cancelled, "1 of 2 layers", [&] { quantize(source, output, options); });
  EXPECT_FALSE(fs::exists(output));
  QuantizationOptions other{.type = "hqq", .hqq = {.bits = 8}};
  expect_error(ErrorKind::usage, "bits", [&] { quantize(source, output, other); });
  const QuantizationSummary report = quantize(source, output, {.type = "hqq"});
  EXPECT_TRUE(report.tensors.front().resumed);
  EXPECT_FALSE(report.tensors.back().resumed);
  EXPECT_EQ(report.relative_error, whole.relative_error);
  EXPECT_EQ(file_bytes(output + "/model.safetensors"), file_bytes(folder.file("whole") + "/model.safetensors"));
}

TEST(HqqFolder, RefusesBeforeAnythingIsWritten) {
  const TemporaryFolder folder;
  const std::string source = write_model(folder);  // rows of 64 and 96
  const std::string output = folder.file("out");
  const auto with = [&](QuantizationOptions options) {
    options.type = "hqq";
    if (options.hqq.group_size == 64 && options.hqq.bits == 4) options.hqq.group_size = 32;
    return [&, options] { quantize(source, output, options); };
  };
  expect_error(ErrorKind::usage, "bits", with({.hqq = {.bits = 5}}));
  expect_error(ErrorKind::usage, "bits", with({.hqq = {.bits = 0}}));
  expect_error(ErrorKind::usage, "group_size", with({.hqq = {.group_size = 48}}));
  expect_error(ErrorKind::usage, "group_size", with({.hqq = {.group_size = -1}}));
  expect_error(ErrorKind::unsupported, "model.layers.0.self_attn.o_proj", with({.hqq = {.bits = 8, .group_size = 64}}));
  expect_error(ErrorKind::usage, "calibration_text", with({.calibration_text = "a"}));
  expect_error(ErrorKind::usage, "imatrix", with({.imatrix = "a"}));
  expect_error(ErrorKind::unsupported, "dry_run", with({.dry_run = true}));
  EXPECT_FALSE(fs::exists(output));
  EXPECT_FALSE(fs::exists(output + ".partial"));
  with({})();
  expect_error(ErrorKind::usage, "there already", with({}));
}

TEST(HqqFolder, NamesWeightsThatFloat16OrNoCodeHolds) {
  const TemporaryFolder folder;
  const std::string source = write_byte_model(folder);
  const auto write = [&](float value, float step) {
    CausalLM model = CausalLM::from_pretrained(source, {.dtype = Dtype::f32});
    const at::Tensor row = model.parameter("model.layers.1.mlp.up_proj.weight")[2];
    for (std::int64_t i = 0; i < row.numel(); ++i) row[i].fill_(value + step * static_cast<float>(i % 2));
    fs::remove_all(folder.file("damaged"));
    model.save_pretrained(folder.file("damaged"));
  };
  const std::string output = folder.file("out");
  for (const auto& [value, step] : {std::pair{INFINITY, 0.0f}, {100.0f, 0.01f}}) {
    write(value, step);
    expect_error(ErrorKind::numeric, "model.layers.1.mlp.up_proj",
                 [&] { quantize(folder.file("damaged"), output, {.type = "hqq", .resume = false}); });
    EXPECT_FALSE(fs::exists(output));
  }
}

}  // namespace
}  // namespace powerhouse::testing
