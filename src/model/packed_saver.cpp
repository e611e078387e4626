#include "model/packed_saver.h"

#include <algorithm>
#include <unordered_set>

#include "formats/checkpoint.h"
#include "formats/gptq.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

constexpr std::string_view kWeight = ".weight";

std::string module_of(const std::string& name) { return name.substr(0, name.size() - kWeight.size()); }

// Whether each of the weight's views is what the file calls the same as the assembly (a bare decoder's has no prefix).
bool is_written_so(const StoredWeight& stored, const Assembly& assembly) {
  if (!stored.rows_are_made() || stored.views.size() != assembly.names.size()) return false;
  for (std::size_t i = 0; i < assembly.names.size(); ++i) {
    if (!assembly.names[i].ends_with(stored.views[i].name)) return false;
  }
  return true;
}

void name_dense(JsonObject& config, const std::string& method, const std::vector<std::string>& modules) {
  const auto append = [&](const char* key) {
    Json::Array list;
    if (const Json* known = config.find(key); known != nullptr && known->is_array()) list = known->as_array();
    for (const std::string& module : modules) {
      const bool there = std::any_of(list.begin(), list.end(),
                                     [&](const Json& name) { return name.is_string() && name.as_string() == module; });
      if (!there) list.emplace_back(module);
    }
    config[key] = Json(std::move(list));
  };
  if (method == "gptq") {
    JsonObject dynamic;
    if (const Json* known = config.find("dynamic"); known != nullptr && known->is_object())
      dynamic = known->as_object();
    for (const std::string& module : modules) dynamic[gptq_dense_pattern(module)] = JsonObject();
    config["dynamic"] = std::move(dynamic);
  } else if (method == "awq") {
    append("modules_to_not_convert");
  } else if (method == "compressed-tensors") {
    append("ignore");
  } else if (method == "hqq") {
    append("skip_modules");
  } else {
    throw Error(ErrorKind::unsupported, "a folder of this quantization can't hold modules that have become dense",
                {.field = modules.front(), .found = method});
  }
}

}  // namespace

PackedOrigin packed_origin(const Checkpoint& checkpoint) {
  PackedOrigin origin{.config = checkpoint.quantization};
  for (const TensorView& view : checkpoint.tensors) {
    if (view.rows) origin.modules.push_back(module_of(view.name));
  }
  return origin;
}

bool add_packed(std::vector<TensorSource>& sources, const Weight& weight, const Assembly& assembly) {
  const StoredWeight* const stored = weight.stored();
  if (stored == nullptr || !is_written_so(*stored, assembly)) return false;
  for (std::size_t i = 0; i < assembly.names.size(); ++i) {
    const std::string module = module_of(assembly.names[i]);
    const std::size_t own = module_of(stored->views[i].name).size();
    for (const TensorView& part : stored->views[i].rows->parts()) {
      sources.push_back({.name = module + part.name.substr(own),
                         .format = part.format,
                         .shape = part.shape,
                         .bytes = part.bytes,
                         .write = [part](const auto& sink) { sink(part.data, part.bytes); }});
    }
  }
  return true;
}

Json packed_config(const Model& model) {
  if (model.packed.config.is_null()) return {};
  std::unordered_set<std::string> packed;
  for (const ParameterSpec& spec : model.weights.specs()) {
    const StoredWeight* const stored = model.weights.weight(spec).stored();
    if (stored == nullptr || !is_written_so(*stored, spec.hf.front())) continue;
    for (const TensorView& view : stored->views) packed.insert(module_of(view.name));
  }
  if (packed.empty()) return {};
  std::vector<std::string> dense;
  for (const std::string& module : model.packed.modules) {
    if (!packed.contains(module)) dense.push_back(module);
  }
  Json config = model.packed.config;
  if (!dense.empty()) name_dense(config.as_object(), config.string_or("quant_method", ""), dense);
  return config;
}

}  // namespace powerhouse
