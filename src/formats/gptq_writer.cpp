#include <cstring>

#include "formats/gptq.h"
#include "powerhouse/error.h"

namespace powerhouse {

std::vector<PackedTensor> pack_gptq(const GroupedCodes& matrix, const std::string& module, GptqFormat format) {
  const int bits = matrix.bits;
  const int below = format == GptqFormat::v1 ? 1 : 0;
  check(matrix, module, below, (1 << bits) - 1 + below);
  const bool known = bits == 2 || bits == 3 || bits == 4 || bits == 8;
  if (!known || matrix.inputs % 32 != 0 || matrix.outputs % 32 != 0) {
    throw Error(ErrorKind::unsupported, "GPTQ has no packing for this matrix",
                {.field = module,
                 .expected = "2, 3, 4 or 8 bits, inputs and outputs that 32 divides",
                 .found = std::to_string(bits) + " bits, " + std::to_string(matrix.outputs) + " x " +
                          std::to_string(matrix.inputs)});
  }
  const std::int64_t outputs = matrix.outputs;
  const std::int64_t groups = matrix.groups();
  PackedTensor qweight = word_tensor(module + ".qweight", {matrix.inputs * bits / 32, outputs});
  for (std::int64_t output = 0; output < outputs; ++output) {
    const std::uint8_t* const codes = matrix.codes.data() + output * matrix.inputs;
    for (std::int64_t k = 0; k < matrix.inputs; ++k) put_code(words_of(qweight) + output, outputs, k, bits, codes[k]);
  }
  PackedTensor qzeros = word_tensor(module + ".qzeros", {groups, outputs * bits / 32});
  for (std::int64_t output = 0; output < outputs; ++output) {
    for (std::int64_t group = 0; group < groups; ++group) {
      const std::int32_t zero = matrix.zeros[static_cast<std::size_t>(output * groups + group)] - below;
      put_code(words_of(qzeros) + group * (outputs * bits / 32), 1, output, bits, static_cast<std::uint32_t>(zero));
    }
  }
  PackedTensor g_idx{.name = module + ".g_idx", .format = BlockFormat::i32, .shape = {matrix.inputs}};
  g_idx.bytes.resize(static_cast<std::size_t>(matrix.inputs) * sizeof(std::int32_t));
  for (std::int64_t k = 0; k < matrix.inputs; ++k) {
    const auto group = static_cast<std::int32_t>(matrix.group_at(k));
    std::memcpy(g_idx.bytes.data() + static_cast<std::size_t>(k) * sizeof group, &group, sizeof group);
  }
  std::vector<PackedTensor> tensors;
  tensors.push_back(std::move(qweight));
  tensors.push_back(std::move(qzeros));
  tensors.push_back(float16_tensor(module + ".scales", matrix, true, outputs));
  tensors.push_back(std::move(g_idx));
  return tensors;
}

std::string gptq_dense_pattern(const std::string& module) {
  std::string pattern = "-:^";
  for (const char letter : module) pattern += letter == '.' ? std::string("\\.") : std::string(1, letter);
  return pattern + "$";
}

Json gptq_config(const GptqConfig& config) {
  JsonObject out;
  out["quant_method"] = "gptq";
  out["bits"] = config.bits;
  out["group_size"] = config.group_size;
  out["sym"] = config.sym;
  out["desc_act"] = config.desc_act;
  out["static_groups"] = config.static_groups;
  out["true_sequential"] = config.true_sequential;
  out["damp_percent"] = config.damp_percent;
  out["checkpoint_format"] = config.checkpoint_format == GptqFormat::v1 ? "gptq" : "gptq_v2";
  out["lm_head"] = false;
  if (!config.dense_modules.empty()) {
    JsonObject dynamic;
    for (const std::string& module : config.dense_modules) dynamic[gptq_dense_pattern(module)] = JsonObject();
    out["dynamic"] = std::move(dynamic);
  }
  return Json(std::move(out));
}

}  // namespace powerhouse
