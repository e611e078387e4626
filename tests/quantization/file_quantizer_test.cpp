// Whole files: the tensors that llama-quantize writes (tests/oracles/quantize_files.py), in parts of any size, and what
// is left where a run ends early.
#include "quantization/file_quantizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>

#include "expect_error.h"
#include "support/json.h"
#include "support/mapped_file.h"
#include "support/sha256.h"
#include "support/thread_team.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using testing::expect_error;
using testing::TemporaryFolder;

// As quantize_files.py has it.
std::vector<float> numbers(std::uint64_t seed, std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    std::uint64_t x = i + seed * 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    x ^= x >> 31;
    int total = -510;
    for (int k = 0; k < 4; ++k) total += static_cast<int>((x >> (8 * k)) & 255);
    values[i] = static_cast<float>(total) / 4096.0f;
  }
  return values;
}

std::map<std::string, std::vector<std::int64_t>> shapes() {
  std::map<std::string, std::vector<std::int64_t>> out = {
      {"token_embd.weight", {64, 256}}, {"output_norm.weight", {256}}, {"output.weight", {64, 256}}};
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    out[layer + "attn_norm.weight"] = out[layer + "ffn_norm.weight"] = {256};
    out[layer + "attn_q.weight"] = out[layer + "attn_output.weight"] = {256, 256};
    out[layer + "attn_k.weight"] = out[layer + "attn_v.weight"] = {128, 256};
    out[layer + "ffn_gate.weight"] = out[layer + "ffn_up.weight"] = {512, 256};
    out[layer + "ffn_down.weight"] = {256, 512};
  }
  return out;
}

std::string write_model(const TemporaryFolder& folder, float last = 0.0f) {
  std::map<std::string, std::vector<float>> data;
  std::vector<TensorSource> tensors;
  std::uint64_t seed = 0;
  for (const auto& [name, shape] : shapes()) {
    std::size_t count = 1;
    for (const std::int64_t size : shape) count *= static_cast<std::size_t>(size);
    data[name] = numbers(seed++, count);
    if (last != 0.0f && name == "token_embd.weight") data[name].back() = last;
    const std::vector<float>& values = data[name];
    tensors.push_back({.name = name, .shape = shape, .bytes = count * 4, .write = [&values](const auto& sink) {
                         sink(values.data(), values.size() * 4);
                       }});
  }
  const std::string path = folder.file("model.gguf");
  write_gguf(path,
             std::vector<GgufEntry>{{"general.architecture", std::string("llama")},
                                    {"llama.context_length", 64u},
                                    {"llama.embedding_length", 256u},
                                    {"llama.block_count", 2u},
                                    {"llama.feed_forward_length", 512u},
                                    {"llama.attention.head_count", 4u},
                                    {"llama.attention.head_count_kv", 2u},
                                    {"llama.attention.layer_norm_rms_epsilon", 1e-5f},
                                    {"general.file_type", 0u},
                                    {"general.alignment", 32u},
                                    {"a.odd", GgufVerbatim{.type = GgufType::u64, .bytes = std::string(8, '\xfe')}}},
             tensors);
  return path;
}

ImportanceMatrix importance() {
  ImportanceMatrix matrix;
  std::uint64_t seed = 100;
  for (const auto& [name, shape] : shapes()) {
    const std::uint64_t own = seed++;
    if (!name.starts_with("blk.") || name.find("norm") != std::string::npos) continue;
    ImportanceEntry entry{.weight = name, .sums = numbers(own, static_cast<std::size_t>(shape[1])), .counts = {1536}};
    for (float& sum : entry.sums) sum = std::abs(sum) * 1536;
    matrix.entries.push_back(std::move(entry));
  }
  return matrix;
}

std::vector<MixTensor> named(const SourceModel& source) {
  std::vector<MixTensor> tensors;
  for (const SourceTensor& tensor : source.tensors) {
    tensors.push_back({.name = tensor.name, .shape = tensor.shape, .format = tensor.format});
  }
  return tensors;
}

FilePlan plan_of(const SourceModel& source, const char* mix, const ImportanceMatrix* matrix = nullptr,
                 const MixOverrides& overrides = {}) {
  return {.formats = mix_types(*find_mix(mix), source.facts, named(source), matrix != nullptr, overrides),
          .metadata = source.metadata,
          .importance = matrix,
          .memory_bytes = std::uint64_t{1} << 28};
}

MixOverrides overrides_named(const std::string& name) {
  if (name == "pure") return {.pure = true};
  if (name == "leave") return {.leave_output = true};
  if (name != "patterns") return {};
  return {.output = BlockFormat::q5_1,
          .embedding = BlockFormat::q6_k,
          .patterns = {{"attn_v", BlockFormat::q8_0}, {R"(blk\.1\.ffn)", BlockFormat::q5_k}}};
}

TEST(FileQuantizer, WritesTheTensorsOfLlamaQuantize) {
  const TemporaryFolder folder;
  const SourceModel source = gguf_source(GgufFile::open(write_model(folder)));
  const ImportanceMatrix matrix = importance();
  const Json json = Json::parse_file(std::string(POWERHOUSE_FIXTURES) + "/quantization/files.json");
  int compared = 0;
  for (const auto& [key, answers] : json.at("answers").as_object()) {
    if (answers.is_null()) continue;  // llama-quantize refuses
    const std::string mix = key.substr(0, key.find(' '));
    const std::string rest = key.size() > mix.size() ? key.substr(mix.size() + 1) : "";
    const std::string path = folder.file("out.gguf");
    write_quantized(source, path,
                    plan_of(source, mix.c_str(), rest == "importance" ? &matrix : nullptr, overrides_named(rest)));
    const auto file = GgufFile::open(path);
    ASSERT_EQ(file->tensors().size(), answers.as_object().size());
    for (const TensorView& tensor : file->tensors()) {
      const std::string found = std::string(block_info(tensor.format).name) + " " +
                                sha256({reinterpret_cast<const char*>(tensor.data), tensor.bytes});
      EXPECT_EQ(found, answers.at(tensor.name).as_string()) << key << ", " << tensor.name;
      ++compared;
    }
  }
  EXPECT_GT(compared, 1000);
}

TEST(FileQuantizer, GivesTheSameFileInPartsOfAnySizeAndKeepsMetadataByteForByte) {
  const TemporaryFolder folder;
  const SourceModel source = gguf_source(GgufFile::open(write_model(folder)));
  const ImportanceMatrix matrix = importance();
  FilePlan plan = plan_of(source, "Q4_K_M", &matrix);
  const QuantizationSummary report = write_quantized(source, folder.file("a.gguf"), plan);
  plan.memory_bytes = (std::uint64_t{1} << 20) * static_cast<std::uint64_t>(team_threads()) + 7000;  // some rows
  write_quantized(source, folder.file("b.gguf"), plan);
  EXPECT_EQ(read_text(folder.file("a.gguf")), read_text(folder.file("b.gguf")));
  const auto file = GgufFile::open(folder.file("a.gguf"));
  const GgufValue* const odd = file->find("a.odd");
  ASSERT_NE(odd, nullptr);
  EXPECT_EQ(odd->type, GgufType::u64);
  EXPECT_EQ(std::get<std::uint64_t>(odd->value), 0xfefefefefefefefeu);
  EXPECT_EQ(file->find("general.file_type"), nullptr);  // the caller's
  EXPECT_EQ(report.tensors.size(), source.tensors.size());
  EXPECT_EQ(report.weights, 2 * (2 * 256 * 256 + 2 * 128 * 256 + 3 * 512 * 256 + 512) + 2 * 64 * 256 + 256);
  EXPECT_GT(report.relative_error, 0.01);
  EXPECT_LT(report.relative_error, 0.1);
  plan.memory_bytes = 1000;
  expect_error(ErrorKind::memory, "memory budget", [&] { write_quantized(source, folder.file("c.gguf"), plan); });
  EXPECT_FALSE(std::filesystem::exists(folder.file("c.gguf")));
}

TEST(FileQuantizer, GoesOnAfterItWasCancelled) {
  const TemporaryFolder folder;
  const SourceModel source = gguf_source(GgufFile::open(write_model(folder)));
  FilePlan plan = plan_of(source, "Q5_K_M");
  write_quantized(source, folder.file("whole.gguf"), plan);
  const std::string path = folder.file("out.gguf");
  std::stop_source stop;
  plan.cancel = stop.get_token();
  plan.on_progress = [&](const QuantizationProgress& progress) {
    if (progress.tensor == 9) stop.request_stop();
  };
  expect_error(ErrorKind::cancelled, "cancelled", [&] { write_quantized(source, path, plan); });
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_TRUE(std::filesystem::exists(path + ".partial"));
  plan.cancel = {};
  plan.on_progress = nullptr;
  const QuantizationSummary report = write_quantized(source, path, plan);
  EXPECT_EQ(std::count_if(report.tensors.begin(), report.tensors.end(), [](const auto& row) { return row.resumed; }),
            9);
  EXPECT_EQ(read_text(path), read_text(folder.file("whole.gguf")));
  EXPECT_FALSE(std::filesystem::exists(path + ".partial"));
}

TEST(FileQuantizer, LeavesNothingOfWhatCantBe) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), 1e30f}) {
    const TemporaryFolder folder;
    const SourceModel source = gguf_source(GgufFile::open(write_model(folder, bad)));
    expect_error(ErrorKind::numeric, "token_embd.weight",
                 [&] { write_quantized(source, folder.file("out.gguf"), plan_of(source, "Q4_0")); });
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
  }
}

TEST(FileQuantizer, TakesNoImportanceOfAnotherModel) {
  const TemporaryFolder folder;
  const SourceModel source = gguf_source(GgufFile::open(write_model(folder)));
  ImportanceMatrix matrix = importance();
  matrix.entries.front().sums.resize(128);
  expect_error(ErrorKind::usage, "another model",
               [&] { write_quantized(source, folder.file("out.gguf"), plan_of(source, "Q4_K_M", &matrix)); });
}

}  // namespace
}  // namespace powerhouse
