// What a checkpoint holds: headers only, no weights.
#include "powerhouse/inspect.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <set>

#include "formats/checkpoint.h"
#include "kernels/reference/packed.h"
#include "model/loader.h"
#include "model/plan.h"
#include "powerhouse/error.h"
#include "support/json.h"
#include "support/shape_text.h"
#include "support/utf8.h"

namespace powerhouse {
namespace {

std::string human_bytes(std::size_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  int unit = 0;
  while (value >= 1024 && unit < 4) {
    value /= 1024;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text;
}

std::string human_count(std::int64_t count) {
  char text[32];
  if (count >= 1'000'000'000) {
    std::snprintf(text, sizeof text, "%.2f B", static_cast<double>(count) / 1e9);
  } else {
    std::snprintf(text, sizeof text, "%.1f M", static_cast<double>(count) / 1e6);
  }
  return text;
}

std::string printable(std::string_view name) {
  std::string text;
  append_printable(text, name);
  return text;
}

// Parameters and types of each layer, by the number after the family's prefix ("blk.3." or "model.layers.3.").
struct LayerSummary {
  std::int64_t parameters = 0;
  std::size_t bytes = 0;
  std::map<std::string, std::size_t> types;
};

std::int64_t layer_of(const std::string& name) {
  for (const std::string_view prefix : {"blk.", "layers."}) {
    const auto at = name.find(prefix);
    if (at == std::string::npos) continue;
    const std::string rest = name.substr(at + prefix.size());
    if (!rest.empty() && rest[0] >= '0' && rest[0] <= '9') return std::atoll(rest.c_str());
  }
  return -1;
}

std::map<std::int64_t, LayerSummary> summarize(const ModelReport& report) {
  std::map<std::int64_t, LayerSummary> layers;
  for (const TensorReport& tensor : report.tensors) {
    LayerSummary& layer = layers[layer_of(tensor.name)];
    std::int64_t count = 1;
    for (const std::int64_t dimension : tensor.shape) count *= dimension;
    layer.parameters += count;
    layer.bytes += tensor.bytes;
    ++layer.types[tensor.type];
  }
  return layers;
}

// The four cases under the names that both outputs use.
std::vector<std::pair<const char*, MemoryEstimate>> named(const MemoryReport& memory) {
  return {{"run", memory.run},
          {"train_full", memory.train_full},
          {"train_lora", memory.train_lora},
          {"train_qlora", memory.train_qlora}};
}

std::vector<std::pair<const char*, std::size_t>> parts(const MemoryEstimate& memory) {
  return {{"weights", memory.weights},
          {"kv_cache", memory.kv_cache},
          {"activations", memory.activations},
          {"gradients", memory.gradients},
          {"optimizer", memory.optimizer}};
}

std::string memory_text(const MemoryReport& memory) {
  std::string out = "memory for a sequence of " + std::to_string(memory.tokens) + " tokens, estimated:\n";
  for (const auto& [name, estimate] : named(memory)) {
    out += "  " + std::string(name) + ": " + human_bytes(estimate.total()) + " (";
    std::string list;
    for (const auto& [part, size] : parts(estimate)) {
      if (size > 0) list += (list.empty() ? "" : ", ") + std::string(part) + " " + human_bytes(size);
    }
    out += list + ")\n";
  }
  return out;
}

Json memory_json(const MemoryReport& memory) {
  JsonObject out;
  out["tokens"] = memory.tokens;
  for (const auto& [name, estimate] : named(memory)) {
    JsonObject row;
    for (const auto& [part, size] : parts(estimate)) row[part] = static_cast<std::uint64_t>(size);
    row["total"] = static_cast<std::uint64_t>(estimate.total());
    out[name] = std::move(row);
  }
  return out;
}

std::string types_text(const std::map<std::string, std::size_t>& types) {
  std::string text;
  for (const auto& [type, count] : types) {
    if (!text.empty()) text += ", ";
    text += std::to_string(count) + " " + type;
  }
  return text;
}

// What a plan makes of a matrix, or of one for each expert; compute_bytes an element where it can't read it as it lies.
double matrix_bytes(const ParameterSpec& spec, const FoundWeight& found, std::size_t compute_bytes) {
  double elements = 1;
  for (const std::int64_t size : spec.shape) elements *= static_cast<double>(size);
  const BlockFormat format = found.views.empty() ? BlockFormat::f32 : found.views.front()->format;
  const bool in_rows = found.assembly != nullptr && (!found.assembly->transposed || found.views.front()->rows);
  const bool as_it_lies = in_rows && found.assembly->offset == 0.0f;
  const bool plain = format == BlockFormat::f32 || format == BlockFormat::f16 || format == BlockFormat::bf16;
  const PackedLayout* layout = packed_layout(format);
  if (!as_it_lies || (layout == nullptr && !plain)) return elements * static_cast<double>(compute_bytes);
  const std::int64_t columns = spec.shape.back();
  const std::int64_t rows = spec.shape[spec.shape.size() - 2];
  const auto panels = static_cast<double>(panel_count(rows));
  const double matrices = elements / static_cast<double>(rows) / static_cast<double>(columns);
  if (layout != nullptr) return matrices * panels * static_cast<double>(panel_bytes(*layout, columns));
  if (format == BlockFormat::bf16 && columns % kBf16Unit == 0) {
    return matrices * panels * static_cast<double>(bf16_panel_bytes(columns));
  }
  const double padded = spec.shape.size() > 2 ? panels * kPanelRows : static_cast<double>(rows);
  return matrices * padded * static_cast<double>(columns) * static_cast<double>(block_info(format).block_bytes);
}

// Of the files that tensors lie in, on disk. A file that is gone by now counts for nothing.
std::size_t size_of_files(const std::vector<TensorView>& tensors) {
  std::set<std::string> paths;
  for (const TensorView& view : tensors) paths.insert(view.file->path());
  std::size_t bytes = 0;
  for (const std::string& path : paths) {
    std::error_code failure;
    const auto size = std::filesystem::file_size(path, failure);
    if (!failure) bytes += static_cast<std::size_t>(size);
  }
  return bytes;
}

// What CausalLM::memory will say: dense numbers, or what a plan packs and reads from the file.
std::size_t bytes_to_run(const ModelConfig& config, const std::vector<ParameterSpec>& specs, const TensorMatch& match,
                         std::size_t compute_bytes) {
  const bool planned = Plan::has_steps(config);
  double bytes = 0;  // a config may say sizes whose products no integer holds
  for (std::size_t i = 0; i < specs.size(); ++i) {
    const ParameterSpec& spec = specs[i];
    const FoundWeight& found = match.found[i];
    double elements = 1;
    for (const std::int64_t size : spec.shape) elements *= static_cast<double>(size);
    if (!planned) {
      bytes += elements * static_cast<double>(compute_bytes);
      continue;
    }
    const bool looked_up = spec.role == Role::embed_tokens || spec.role == Role::position_embeddings;
    const bool head = spec.role == Role::embed_tokens && config.tie_word_embeddings;
    const bool in_float32 =
        spec.shape.size() < 2 || spec.is_bias || spec.role == Role::router || spec.role == Role::shared_expert_gate;
    if (looked_up) {
      double in_file = found.views.empty() ? elements * static_cast<double>(compute_bytes) : 0;  // of a missing shard
      for (const TensorView* view : found.views) in_file += static_cast<double>(view->bytes);
      if (!head || matrix_bytes(spec, found, compute_bytes) != in_file) bytes += in_file;
    }
    if (in_float32) {
      bytes += elements * sizeof(float);
    } else if (!looked_up || head) {
      bytes += matrix_bytes(spec, found, compute_bytes);
    }
  }
  return static_cast<std::size_t>(std::min(bytes, 4e18));
}

}  // namespace

ModelReport inspect(const std::string& path) {
  const Checkpoint checkpoint = open_incomplete_checkpoint(path);
  LoadedConfig loaded = load_config(checkpoint);
  const std::vector<ParameterSpec> specs = parameter_specs(*loaded.architecture, loaded.config);
  TensorMatch match = match_tensors(checkpoint, loaded, specs);

  ModelReport report;
  report.path = path;
  report.format = checkpoint.kind == CheckpointKind::gguf ? "GGUF v" + std::to_string(checkpoint.gguf->version())
                                                          : "Hugging Face folder";
  if (checkpoint.quantization.is_object())
    report.format += ", " + checkpoint.quantization.string_or("quant_method", "");
  for (const TensorView& view : checkpoint.tensors) {
    report.tensors.push_back(
        {.name = view.name, .type = block_info(view.format).name, .shape = view.shape, .bytes = view.bytes});
    report.bytes += view.bytes;
  }
  report.file_bytes = size_of_files(checkpoint.tensors);
  for (const FoundWeight& found : match.found) {
    for (const TensorView* view : found.views) report.parameters += view->elements();
  }
  if (report.parameters > 0) {
    report.bits_per_weight = 8.0 * static_cast<double>(report.bytes) / static_cast<double>(report.parameters);
  }
  for (const Block& block : loaded.config.layers) {
    report.kv_cache_bytes_per_token +=
        static_cast<std::size_t>(2 * block.attention.num_key_value_heads * block.attention.head_dim) * 2;
  }
  report.compute_bytes = c10::elementSize(automatic_type(checkpoint));
  report.run_weight_bytes = bytes_to_run(loaded.config, specs, match, report.compute_bytes);
  report.missing_files = checkpoint.missing;
  report.missing = std::move(match.missing);
  report.unused = std::move(match.unused);
  report.config = std::move(loaded.config);
  return report;
}

std::string to_string(const ModelReport& report, bool tensors, std::int64_t tokens) {
  char bits[32];
  std::snprintf(bits, sizeof bits, "%.2f", report.bits_per_weight);
  std::string out = report.path + "\n" + "format: " + report.format + "\n" +
                    "parameters: " + std::to_string(report.parameters) + " (" + human_count(report.parameters) + ")\n" +
                    "size: " + std::to_string(report.bytes) + " bytes (" + human_bytes(report.bytes) + ")\n" +
                    "bits per weight: " + bits + "\n" + "kv cache: " + std::to_string(report.kv_cache_bytes_per_token) +
                    " bytes a token in bf16\n" + memory_text(estimate_memory(report, tokens)) +
                    to_string(report.config);
  for (const auto& [layer, summary] : summarize(report)) {
    out += layer < 0 ? "outside layers" : "layer " + std::to_string(layer);
    out += ": " + human_count(summary.parameters) + " parameters, " + human_bytes(summary.bytes) + ", " +
           types_text(summary.types) + "\n";
  }
  for (const std::string& name : report.missing_files) out += "missing file: " + printable(name) + "\n";
  for (const std::string& name : report.missing) out += "missing: " + printable(name) + "\n";
  for (const std::string& name : report.unused) out += "unused: " + printable(name) + "\n";
  if (tensors) {
    for (const TensorReport& tensor : report.tensors) {
      out += printable(tensor.name) + " " + tensor.type + " " + shape_text(tensor.shape) + " " +
             std::to_string(tensor.bytes) + "\n";
    }
  }
  return out;
}

std::string to_json(const ModelReport& report, bool tensors, std::int64_t tokens) {
  const auto names = [](const std::vector<std::string>& list) {
    Json::Array array;
    for (const std::string& name : list) array.emplace_back(name);
    return array;
  };
  JsonObject out;
  out["path"] = report.path;
  out["format"] = report.format;
  out["parameters"] = report.parameters;
  out["bytes"] = static_cast<std::uint64_t>(report.bytes);
  out["bits_per_weight"] = report.bits_per_weight;
  out["kv_cache_bytes_per_token"] = static_cast<std::uint64_t>(report.kv_cache_bytes_per_token);
  out["memory"] = memory_json(estimate_memory(report, tokens));
  out["config"] = Json::parse(to_json(report.config), "config");
  Json::Array layers;
  for (const auto& [index, summary] : summarize(report)) {
    if (index < 0) continue;
    JsonObject layer;
    layer["layer"] = index;
    layer["parameters"] = summary.parameters;
    layer["bytes"] = static_cast<std::uint64_t>(summary.bytes);
    JsonObject types;
    for (const auto& [type, count] : summary.types) types[type] = static_cast<std::uint64_t>(count);
    layer["types"] = std::move(types);
    layers.emplace_back(std::move(layer));
  }
  out["layers"] = std::move(layers);
  out["missing_files"] = names(report.missing_files);
  out["missing"] = names(report.missing);
  out["unused"] = names(report.unused);
  if (tensors) {
    Json::Array list;
    for (const TensorReport& tensor : report.tensors) {
      JsonObject row;
      row["name"] = tensor.name;
      row["type"] = tensor.type;
      Json::Array shape;
      for (const std::int64_t dimension : tensor.shape) shape.emplace_back(dimension);
      row["shape"] = std::move(shape);
      row["bytes"] = static_cast<std::uint64_t>(tensor.bytes);
      list.emplace_back(std::move(row));
    }
    out["tensors"] = std::move(list);
  }
  return Json(std::move(out)).dump(2);
}

}  // namespace powerhouse
