// Packings of GPTQ and AWQ: what AutoGPTQ and AutoAWQ packed (tests/oracles/gptq_awq.py) read to the number, and
// written again byte for byte; broken tensors and zeros that are stored otherwise than the config says.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "expect_error.h"
#include "formats/awq.h"
#include "formats/gptq.h"
#include "formats/quantized_folder.h"
#include "formats/safetensors.h"
#include "kernels/reference/dequantize.h"
#include "powerhouse/log.h"

namespace powerhouse {
namespace {

using namespace testing;

const SafetensorsFile& peers() {
  static const SafetensorsFile file =
      read_safetensors(std::string(POWERHOUSE_FIXTURES) + "/kernels/gptq_awq.safetensors");
  return file;
}

const TensorView& peer(const std::string& name) {
  const auto& all = peers().tensors;
  return *std::find_if(all.begin(), all.end(), [&](const TensorView& view) { return view.name == name; });
}

std::vector<TensorView> parts_of(const std::string& name) {
  std::vector<TensorView> parts;
  for (const TensorView& view : peers().tensors) {
    if (view.name.starts_with(name + ".") && !view.name.ends_with(".weight")) parts.push_back(view);
  }
  return parts;
}

Json config_of(const std::string& text) { return Json::parse(text, "test"); }

TensorView join(std::vector<TensorView> parts, const std::string& config) {
  JoinedTensors folder = join_quantized(std::move(parts), config_of(config), "folder");
  EXPECT_EQ(folder.tensors.size(), 1U);
  return folder.tensors.front();
}

// Rows in the matrix's own order of columns.
std::vector<float> values_of(const TensorView& view) {
  const std::int64_t rows = view.shape[0], columns = view.shape[1];
  const BlockInfo info = block_info(view.format);
  const std::int64_t row_bytes = columns / info.block_elements * info.block_bytes;
  std::vector<std::byte> blocks(static_cast<std::size_t>(rows * row_bytes));
  view.rows->read(0, rows, blocks.data());
  std::vector<float> in_order(static_cast<std::size_t>(rows * columns)), values(in_order.size());
  dequantize_row(view.format, blocks.data(), in_order.data(), rows * columns);
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t k = 0; k < columns; ++k) {
      const std::int64_t to = view.rows->order() ? (*view.rows->order())[static_cast<std::size_t>(k)] : k;
      values[static_cast<std::size_t>(row * columns + to)] = in_order[static_cast<std::size_t>(row * columns + k)];
    }
  }
  return values;
}

std::vector<float> floats_of(const TensorView& view) {
  std::vector<float> values(view.bytes / 4);
  std::memcpy(values.data(), view.data, view.bytes);
  return values;
}

struct Case {
  const char* name;
  const char* config;
};

constexpr Case kCases[] = {
    {"gptq4_g32", R"({"quant_method": "gptq", "bits": 4, "group_size": 32})"},
    {"gptq4_g64", R"({"quant_method": "gptq", "bits": 4, "group_size": 64})"},
    {"gptq4_g128_order", R"({"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": true})"},
    {"gptq4_column", R"({"quant_method": "gptq", "bits": 4, "group_size": -1})"},
    {"gptq2_g64", R"({"quant_method": "gptq", "bits": 2, "group_size": 64})"},
    {"gptq3_g32_order", R"({"quant_method": "gptq", "bits": 3, "group_size": 32, "desc_act": true})"},
    {"gptq8_g32", R"({"quant_method": "gptq", "bits": 8, "group_size": 32})"},
    {"gptq8_g128_order", R"({"quant_method": "gptq", "bits": 8, "group_size": 128, "desc_act": true})"},
    {"awq_g32", R"({"quant_method": "awq", "bits": 4, "group_size": 32, "version": "GEMM"})"},
    {"awq_g64", R"({"quant_method": "awq", "w_bit": 4, "q_group_size": 64, "version": "gemm"})"},
    {"awq_g128", R"({"quant_method": "awq", "bits": 4, "group_size": 128})"},
};

class Packed : public ::testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(, Packed, ::testing::ValuesIn(kCases),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_P(Packed, IsReadToTheNumber) {
  const TensorView view = join(parts_of(GetParam().name), GetParam().config);
  EXPECT_EQ(view.name, std::string(GetParam().name) + ".weight");
  EXPECT_EQ(values_of(view), floats_of(peer(view.name)));
  // Any rows alone are the same rows.
  const BlockInfo info = block_info(view.format);
  const auto row_bytes = static_cast<std::size_t>(view.shape[1] / info.block_elements * info.block_bytes);
  std::vector<std::byte> all(static_cast<std::size_t>(view.shape[0]) * row_bytes), some(5 * row_bytes);
  view.rows->read(0, view.shape[0], all.data());
  for (const std::int64_t first : {0, 3, 15, 27}) {
    view.rows->read(first, 5, some.data());
    EXPECT_EQ(std::memcmp(some.data(), all.data() + static_cast<std::size_t>(first) * row_bytes, some.size()), 0);
  }
}

// Codes, scales and zeros out of the peer's tensors by the formats' definition, element by element.
GroupedCodes codes_of(const std::string& name, bool awq) {
  const TensorView& scales = peer(name + ".scales");
  const TensorView& qweight = peer(name + ".qweight");
  const TensorView& qzeros = peer(name + ".qzeros");
  GroupedCodes matrix;
  matrix.outputs = scales.shape[1];
  matrix.bits = static_cast<int>(qzeros.shape[1] * 32 / matrix.outputs);
  matrix.inputs = awq ? qweight.shape[0] : qweight.shape[0] * 32 / matrix.bits;
  matrix.group = matrix.inputs / scales.shape[0];
  const auto words = [](const TensorView& view) { return reinterpret_cast<const std::uint32_t*>(view.data); };
  constexpr std::int64_t kPlaces[] = {0, 4, 1, 5, 2, 6, 3, 7};
  for (std::int64_t row = 0; row < matrix.outputs; ++row) {
    for (std::int64_t k = 0; k < matrix.inputs; ++k) {
      matrix.codes.push_back(static_cast<std::uint8_t>(
          awq ? words(qweight)[k * (matrix.outputs / 8) + row / 8] >> 4 * kPlaces[row % 8] & 15
              : get_code(words(qweight) + row, matrix.outputs, k, matrix.bits)));
    }
    for (std::int64_t g = 0; g < scales.shape[0]; ++g) {
      const std::uint32_t* const line = words(qzeros) + g * qzeros.shape[1];
      matrix.zeros.push_back(static_cast<std::int32_t>(awq ? line[row / 8] >> 4 * kPlaces[row % 8] & 15
                                                           : get_code(line, 1, row, matrix.bits) + 1));
      float scale = 0;
      dequantize_row(BlockFormat::f16, scales.data + 2 * (g * matrix.outputs + row), &scale, 1);
      matrix.scales.push_back(scale);
    }
  }
  if (!awq) {
    const auto* const g_idx = reinterpret_cast<const std::int32_t*>(peer(name + ".g_idx").data);
    matrix.group_of.assign(g_idx, g_idx + matrix.inputs);
  }
  return matrix;
}

TEST_P(Packed, IsWrittenToTheByte) {
  const std::string name = GetParam().name;
  const bool awq = name.starts_with("awq");
  const GroupedCodes matrix = codes_of(name, awq);
  EXPECT_EQ(dequantized(matrix), floats_of(peer(name + ".weight")));
  const auto tensors = awq ? pack_awq(matrix, name, AwqVersion::gemm) : pack_gptq(matrix, name, GptqFormat::v1);
  EXPECT_EQ(tensors.size(), parts_of(name).size());
  for (const PackedTensor& tensor : tensors) {
    const TensorView& expected = peer(tensor.name);
    EXPECT_EQ(tensor.format, expected.format) << tensor.name;
    EXPECT_EQ(tensor.shape, expected.shape) << tensor.name;
    ASSERT_EQ(tensor.bytes.size(), expected.bytes) << tensor.name;
    EXPECT_EQ(std::memcmp(tensor.bytes.data(), expected.data, expected.bytes), 0) << tensor.name;
  }
}

std::vector<TensorView> views_of(const std::vector<PackedTensor>& tensors) {
  std::vector<TensorView> views;
  for (const PackedTensor& tensor : tensors) {
    const auto memory = MappedFile::in_memory("memory", tensor.bytes);
    views.push_back({.name = tensor.name,
                     .format = tensor.format,
                     .shape = tensor.shape,
                     .data = memory->bytes().data(),
                     .bytes = memory->size(),
                     .file = memory});
  }
  return views;
}

TEST(PackedGptq, SecondVersionStoresZerosAsTheyAre) {
  GroupedCodes matrix = codes_of("gptq4_g64", false);
  std::fill(matrix.zeros.begin(), matrix.zeros.end(), 9);
  matrix.zeros[0] = 0;
  expect_error(ErrorKind::usage, "1 to 16", [&] { pack_gptq(matrix, "m", GptqFormat::v1); });
  const auto views = views_of(pack_gptq(matrix, "m", GptqFormat::v2));
  const TensorView view = join(views, R"({"quant_method": "gptq", "checkpoint_format": "gptq_v2", "group_size": 64})");
  EXPECT_EQ(values_of(view), dequantized(matrix));
}

TEST(PackedGptq, MislabelledZerosArePutRight) {
  for (const int bits : {2, 3, 4, 8}) {
    GroupedCodes matrix = codes_of("gptq2_g64", false);
    matrix.bits = bits;
    std::fill(matrix.zeros.begin(), matrix.zeros.end(), 1 << (bits - 1));
    for (const bool second : {false, true}) {
      const auto views = views_of(pack_gptq(matrix, "m", second ? GptqFormat::v2 : GptqFormat::v1));
      const auto right = views_of(pack_gptq(matrix, "m", second ? GptqFormat::v1 : GptqFormat::v2));
      int warnings = 0;
      set_log_sink([&](LogLevel level, std::string_view) { warnings += level == LogLevel::warning ? 1 : 0; });
      const TensorView view =
          join(views, std::string(R"({"quant_method": "gptq", "group_size": 64, "checkpoint_format": ")") +
                          (second ? "gptq\"}" : "gptq_v2\"}"));
      set_log_sink({});
      EXPECT_EQ(warnings, 1);
      EXPECT_EQ(values_of(view), dequantized(matrix)) << bits;
      const TensorView& zeros = view.rows->parts()[1];
      EXPECT_EQ(zeros.name, "m.qzeros");
      EXPECT_EQ(std::memcmp(zeros.data, right[1].data, zeros.bytes), 0);
    }
  }
}

TEST(PackedAwq, GemvIsReadAsItIsWritten) {
  const GroupedCodes matrix = codes_of("awq_g64", true);
  const auto views = views_of(pack_awq(matrix, "m", AwqVersion::gemv));
  EXPECT_EQ(views[1].shape, (std::vector<std::int64_t>{96, 2}));
  const TensorView view = join(views, R"({"quant_method": "awq", "version": "gemv", "group_size": 64})");
  EXPECT_EQ(values_of(view), dequantized(matrix));
}

TEST(PackedFolder, SaysWhatIsWrong) {
  const auto read = [](std::vector<TensorView> parts, const std::string& config) {
    return join_quantized(std::move(parts), config_of(config), "folder");
  };
  const std::string gptq = R"({"quant_method": "gptq", "group_size": 32)";
  expect_error(ErrorKind::unsupported, "marlin", [&] { read({}, gptq + R"(, "checkpoint_format": "marlin"})"); });
  expect_error(ErrorKind::unsupported, "5", [&] { read({}, gptq + R"(, "bits": 5})"); });
  expect_error(ErrorKind::unsupported, "marlin", [&] { read({}, R"({"quant_method": "awq", "version": "marlin"})"); });
  expect_error(ErrorKind::unsupported, "bits", [&] { read({}, R"({"quant_method": "awq", "bits": 3})"); });
  const auto ct = [](const std::string& more) {
    return R"({"quant_method": "compressed-tensors", "format": "pack-quantized")" + more + "}";
  };
  expect_error(ErrorKind::unsupported, "float-quantized",
               [&] { read({}, R"({"quant_method": "compressed-tensors", "format": "float-quantized"})"); });
  expect_error(ErrorKind::unsupported, "kv_cache_scheme",
               [&] { read({}, ct(R"(, "kv_cache_scheme": {"num_bits": 8})")); });
  expect_error(ErrorKind::unsupported, "input_activations",
               [&] { read({}, ct(R"(, "config_groups": {"a": {"input_activations": {"num_bits": 8}}})")); });
  for (const char* missing : {".qzeros", ".scales"}) {
    std::vector<TensorView> parts = parts_of("gptq4_g32");
    std::erase_if(parts, [&](const TensorView& view) { return view.name.ends_with(missing); });
    expect_error(ErrorKind::format, missing, [&] { read(parts, gptq + "}"); });
  }
  for (const char* wrong : {".qweight", ".qzeros", ".scales", ".g_idx"}) {
    std::vector<TensorView> parts = parts_of("gptq4_g32");
    for (TensorView& view : parts) {
      if (view.name.ends_with(wrong)) --view.shape[0];
    }
    expect_error(ErrorKind::format, "gptq4_g32", [&] { read(parts, gptq + "}"); });
  }
  std::vector<TensorView> parts = parts_of("gptq4_g32");
  for (TensorView& view : parts) {
    if (!view.name.ends_with(".g_idx")) continue;
    std::vector<std::byte> bytes(view.data, view.data + view.bytes);
    bytes[0] = std::byte{3};  // groups of 33 and 31 inputs
    view.file = MappedFile::in_memory("memory", bytes);
    view.data = view.file->bytes().data();
  }
  expect_error(ErrorKind::format, "groups below 3", [&] { read(parts, gptq + "}"); });
  for (TensorView& view : parts) {
    if (!view.name.ends_with(".g_idx")) continue;
    std::vector<std::byte> bytes(view.data, view.data + view.bytes);
    bytes[0] = std::byte{2};
    view.file = MappedFile::in_memory("memory", bytes);
    view.data = view.file->bytes().data();
  }
  expect_error(ErrorKind::unsupported, "32 does not divide", [&] { read(parts, gptq + "}"); });
  const JoinedTensors unknown = read({}, R"({"quant_method": "fp8"})");
  EXPECT_TRUE(unknown.config.is_null());
}

}  // namespace
}  // namespace powerhouse
