#include "formats/awq.h"
#include "formats/awq_layout.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

std::vector<PackedTensor> gemm(const GroupedCodes& matrix, const std::string& module) {
  const std::int64_t words = matrix.outputs / 8;
  const std::int64_t groups = matrix.groups();
  PackedTensor qweight = word_tensor(module + ".qweight", {matrix.inputs, words});
  PackedTensor qzeros = word_tensor(module + ".qzeros", {groups, words});
  for (std::int64_t output = 0; output < matrix.outputs; ++output) {
    const int shift = awq_shift(output);
    std::uint32_t* const to = words_of(qweight) + output / 8;
    const std::uint8_t* const codes = matrix.codes.data() + output * matrix.inputs;
    for (std::int64_t k = 0; k < matrix.inputs; ++k) to[k * words] |= std::uint32_t{codes[k]} << shift;
    for (std::int64_t group = 0; group < groups; ++group) {
      const std::int32_t zero = matrix.zeros[static_cast<std::size_t>(output * groups + group)];
      words_of(qzeros)[group * words + output / 8] |= static_cast<std::uint32_t>(zero) << shift;
    }
  }
  std::vector<PackedTensor> tensors;
  tensors.push_back(std::move(qweight));
  tensors.push_back(std::move(qzeros));
  tensors.push_back(float16_tensor(module + ".scales", matrix, true, matrix.outputs));
  return tensors;
}

std::vector<PackedTensor> gemv(const GroupedCodes& matrix, const std::string& module) {
  const std::int64_t words = matrix.inputs / 8;
  const std::int64_t groups = matrix.groups();
  const std::int64_t width = awq_zeros_width(matrix.inputs, matrix.group_size());
  PackedTensor qweight = word_tensor(module + ".qweight", {matrix.outputs, words});
  PackedTensor qzeros = word_tensor(module + ".qzeros", {matrix.outputs, width});
  for (std::int64_t output = 0; output < matrix.outputs; ++output) {
    for (std::int64_t k = 0; k < matrix.inputs; ++k) {
      put_code(words_of(qweight) + output * words, 1, k, 4,
               matrix.codes[static_cast<std::size_t>(output * matrix.inputs + k)]);
    }
    for (std::int64_t group = 0; group < groups; ++group) {
      const std::int32_t zero = matrix.zeros[static_cast<std::size_t>(output * groups + group)];
      put_code(words_of(qzeros) + output * width, 1, group, 4, static_cast<std::uint32_t>(zero));
    }
  }
  std::vector<PackedTensor> tensors;
  tensors.push_back(std::move(qweight));
  tensors.push_back(std::move(qzeros));
  tensors.push_back(float16_tensor(module + ".scales", matrix, false, 8 * width));
  return tensors;
}

}  // namespace

std::vector<PackedTensor> pack_awq(const GroupedCodes& matrix, const std::string& module, AwqVersion version) {
  check(matrix, module, 0, 15);
  const std::int64_t group = matrix.group_size();
  const bool groups_fit = version == AwqVersion::gemm || group == 32 || group == 64 || group >= 128;
  if (matrix.bits != 4 || matrix.inputs % group != 0 || group % 8 != 0 || !groups_fit || matrix.outputs % 8 != 0 ||
      !matrix.group_of.empty()) {
    throw Error(ErrorKind::unsupported, "AWQ has no packing for this matrix",
                {.field = module,
                 .expected = "4 bits, groups in order that divide the inputs, outputs that 8 divides",
                 .found = std::to_string(matrix.bits) + " bits, groups of " + std::to_string(group) + ", " +
                          std::to_string(matrix.outputs) + " x " + std::to_string(matrix.inputs)});
  }
  return version == AwqVersion::gemm ? gemm(matrix, module) : gemv(matrix, module);
}

Json awq_config(const AwqConfig& config) {
  JsonObject out;
  out["quant_method"] = "awq";
  out["bits"] = 4;
  out["group_size"] = config.group_size;
  out["zero_point"] = config.zero_point;
  out["version"] = config.version == AwqVersion::gemm ? "gemm" : "gemv";
  out["backend"] = "autoawq";
  Json::Array dense;
  for (const std::string& module : config.dense_modules) dense.emplace_back(module);
  out["modules_to_not_convert"] = dense.empty() ? Json() : Json(std::move(dense));
  return Json(std::move(out));
}

}  // namespace powerhouse
