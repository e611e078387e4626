#include "formats/quantized_folder.h"

#include <iterator>
#include <unordered_set>

#include "formats/packed_methods.h"
#include "powerhouse/log.h"

namespace powerhouse {
namespace {

struct Method {
  std::string_view name;                // quant_method
  std::string_view first;               // the tensor that tells of a quantized module
  std::vector<std::string_view> parts;  // that stand beside it
  void (*check)(const Json& config, const std::string& file);
  JoinModule join;
};

const Method* find_method(std::string_view name) {
  static const Method kMethods[] = {
      {"gptq", ".qweight", {".qzeros", ".scales", ".g_idx"}, check_gptq, join_gptq},
      {"awq", ".qweight", {".qzeros", ".scales", ".scaled_zeros"}, check_awq, join_awq},
      {"compressed-tensors",
       ".weight_packed",
       {".weight_scale", ".weight_zero_point", ".weight_shape", ".weight_g_idx"},
       check_compressed,
       join_compressed},
      {"exl2",
       ".q_weight",
       {".q_groups", ".q_scale", ".q_scale_max", ".q_invperm", ".q_perm", ".q_group_map"},
       check_exl2,
       join_exl2},
      {"hqq", ".W_q", {std::begin(kHqqParts), std::end(kHqqParts)}, check_hqq, join_hqq},
  };
  for (const Method& method : kMethods) {
    if (method.name == name) return &method;
  }
  return nullptr;
}

}  // namespace

Json quantization_of(const Json& config, const std::string& folder) {
  for (const char* key : {"quantization_config", "compression_config"}) {
    if (const Json* quantization = config.get(key)) return *quantization;
  }
  for (const auto& [name, method] :
       {std::pair{"quantize_config.json", "gptq"}, std::pair{"quant_config.json", "awq"}}) {
    const std::string path = folder + "/" + name;
    if (!may_exist(path)) continue;
    Json quantization = Json::parse_file(path);
    if (!quantization.is_object()) throw Error(ErrorKind::format, "not a JSON object", {.file = path});
    if (quantization.get("quant_method") == nullptr) quantization.as_object()["quant_method"] = method;
    return quantization;
  }
  return {};
}

JoinedTensors join_quantized(std::vector<TensorView> tensors, const Json& quantization, const std::string& folder,
                             bool complete) {
  const Method* const method = find_method(quantization.string_or("quant_method", ""));
  if (method == nullptr) return {std::move(tensors), Json()};
  method->check(quantization, folder + "/config.json");
  ViewsByName by_name;
  for (const TensorView& view : tensors) by_name.emplace(view.name, &view);
  std::unordered_set<std::string> sides;
  for (const TensorView& view : tensors) {
    if (!view.name.ends_with(method->first)) continue;
    const std::string module = view.name.substr(0, view.name.size() - method->first.size());
    for (const std::string_view part : method->parts) sides.insert(module + std::string(part));
  }
  JoinedTensors out{.config = quantization};
  std::vector<std::string> repaired;
  for (const TensorView& view : tensors) {
    if (sides.contains(view.name)) continue;
    if (!view.name.ends_with(method->first)) {
      out.tensors.push_back(view);
      continue;
    }
    const PackedParts parts(by_name, view.name.substr(0, view.name.size() - method->first.size()));
    try {
      out.tensors.push_back(method->join(parts, quantization, repaired));
    } catch (const Error& error) {
      if (complete || error.kind() != ErrorKind::format) throw;
      out.tensors.push_back(view);
    }
  }
  if (!repaired.empty()) {
    const std::string more = repaired.size() > 1 ? " (and " + std::to_string(repaired.size() - 1) + " more)" : "";
    log(LogLevel::warning, folder + ": " + repaired.front() + more);
  }
  return out;
}

}  // namespace powerhouse
