// HQQ: a folder as the hqq package and transformers have it (formats/hqq.h). No text is looked at. Each module of a
// layer is quantized by itself, as the package does, and one layer in floats is in memory.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <span>

#include "calibration/layerwise.h"
#include "calibration/methods.h"
#include "calibration/quantized_folder.h"
#include "calibration/quantized_modules.h"
#include "formats/hqq.h"
#include "formats/safetensors.h"
#include "model/api_guard.h"
#include "model/model_fingerprint.h"
#include "model/saver.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "powerhouse/int8.h"
#include "support/seconds_since.h"

namespace powerhouse {
namespace {

// A module of the folder: some rows of a matrix.
struct Module {
  LinearTarget target;
  ModuleRows own;
  std::string from{};  // the type of the source

  std::int64_t rows() const { return own.rows.empty() ? target.outputs() : static_cast<std::int64_t>(own.rows.size()); }
};

std::vector<Module> modules_of(const Model& model, std::int64_t layer) {
  std::vector<Module> modules;
  for (const LinearTarget& target : linear_targets(model.weights, layer)) {
    const char* const from = block_info(model.weights.weight(*target.spec).format()).name;
    for (const ModuleRows& own : target.modules) modules.push_back({.target = target, .own = own, .from = from});
  }
  return modules;
}

void check(const HqqOptions& options) {
  const auto refuse = [](const char* field, const std::string& expected, const std::string& found) {
    throw Error(ErrorKind::usage, "HQQ folders do not know this",
                {.field = field, .expected = expected, .found = found});
  };
  const bool known = options.bits == 8 || (options.bits >= 1 && options.bits <= 4);  // 5 and 6 would take a byte each
  if (!known) refuse("bits", "1, 2, 3, 4 or 8", std::to_string(options.bits));
  if (options.group_size < 32 || options.group_size % 32 != 0) {
    refuse("group_size", "a multiple of 32", std::to_string(options.group_size));
  }
}

void check(const Module& module, const HqqOptions& options) {
  const std::int64_t inputs = module.target.inputs();
  if (inputs % options.group_size != 0) {
    throw Error(ErrorKind::unsupported, "the group size does not divide the inputs of a layer",
                {.field = module.own.name,
                 .expected = "a divisor of " + std::to_string(inputs) + " that 32 divides",
                 .found = std::to_string(options.group_size)});
  }
  check_hqq_packing(module.rows(), inputs, module.own.name, options);
}

// All that the result depends on; what is resumed must have the same.
Json run_of(const Model& model, const HqqOptions& options) {
  JsonObject own;
  own["method"] = "hqq";
  own["bits"] = options.bits;
  own["group_size"] = options.group_size;
  own["optimize"] = options.optimize;
  own["round_zero"] = options.round_zero;
  own["norm"] = static_cast<double>(options.norm);
  own["beta"] = static_cast<double>(options.beta);
  own["iterations"] = options.iterations;
  JsonObject run;
  run["model"] = model_fingerprint(model);
  run["options"] = std::move(own);
  return Json(std::move(run));
}

// [rows, inputs] of a layer that is dense.
at::Tensor matrix_of(const Module& module, const DecoderWeights& weights) {
  const at::Tensor matrix = module.target.matrix(weights);
  return (module.own.rows.empty() ? matrix : matrix.index_select(0, index_tensor(module.own.rows))).contiguous();
}

// A layer's tensors, and what its modules lost.
std::vector<TensorSource> quantized_sources(const Model& model, std::int64_t layer, const std::vector<Module>& modules,
                                            const HqqOptions& options, std::vector<LinearReport>& reports) {
  std::vector<TensorSource> sources;
  std::vector<const ParameterSpec*> quantized;
  for (const Module& module : modules) {
    const auto begin = std::chrono::steady_clock::now();
    const std::string& name = module.own.name;
    const at::Tensor whole = matrix_of(module, model.weights);
    if (!whole.isfinite().all().item<bool>()) {
      throw Error(ErrorKind::numeric, "weights that are not finite can't be quantized", {.field = name});
    }
    const std::span<const float> values(whole.const_data_ptr<float>(), static_cast<std::size_t>(whole.numel()));
    HqqMatrix matrix = quantize_hqq(values, module.rows(), module.target.inputs(), options);
    round_levels(matrix, name);
    const double error = quantization_error(values, dequantize_hqq(matrix)).relative;
    for (PackedTensor& tensor : pack_hqq(matrix, name, options)) sources.push_back(source_of(std::move(tensor)));
    quantized.push_back(module.target.spec);
    reports.push_back({.name = name, .weight_error = error, .seconds = seconds_since(begin)});
  }
  for (TensorSource& source : plain_sources(model, layer, quantized)) sources.push_back(std::move(source));
  return sources;
}

// Linear modules that stay as they are, by transformers' words: heads, projections of embeddings, routers.
std::vector<std::string> skipped_modules(const Model& model) {
  constexpr std::string_view kWeight = ".weight";
  std::vector<std::string> tags = {"lm_head"};  // tied heads too
  for (const ParameterSpec& spec : model.weights.specs()) {
    const bool outside = spec.role == Role::lm_head || spec.role == Role::score || spec.role == Role::project_in ||
                         spec.role == Role::project_out;
    const bool gate = spec.role == Role::router || spec.role == Role::shared_expert_gate;
    const std::string& name = spec.hf.front().names.front();
    if (spec.is_bias || !(outside || gate) || !name.ends_with(kWeight)) continue;
    const std::string tag = hqq_module_tag(name.substr(0, name.size() - kWeight.size()));
    if (std::find(tags.begin(), tags.end(), tag) == tags.end()) tags.push_back(tag);
  }
  return tags;
}

// Sizes of what was written.
void measure(const std::string& output, QuantizationSummary& summary) {
  std::map<std::string, QuantizedTensor*> by_name;
  for (QuantizedTensor& tensor : summary.tensors) {
    by_name.emplace(tensor.name, &tensor);
    summary.weights += tensor.shape[0] * tensor.shape[1];
  }
  for (const TensorView& view : read_safetensors_folder(output)) {
    summary.bytes += view.bytes;
    const auto found = by_name.find(view.name.substr(0, view.name.rfind('.')));
    if (found != by_name.end() && !view.name.ends_with(".bias")) {
      found->second->bytes += view.bytes;
    } else {
      summary.weights += view.elements();
    }
  }
}

// The modules of each layer, all of which can be quantized.
std::vector<std::vector<Module>> checked_layers(const Model& model, const HqqOptions& options) {
  std::vector<std::vector<Module>> layers;
  for (std::size_t layer = 0; layer < model.config.layers.size(); ++layer) {
    layers.push_back(modules_of(model, static_cast<std::int64_t>(layer)));
    for (const Module& module : layers.back()) check(module, options);
  }
  return layers;
}

// Quantizes layers that are not done yet. The summary gets a row for each module, in the order of layers.
void write_layers(Model& model, const std::vector<std::vector<Module>>& layers, const HqqOptions& hqq,
                  const QuantizationOptions& options, QuantizedFolder& folder, QuantizationSummary& summary) {
  const std::int64_t resumed = folder.layers_done();
  const auto total = static_cast<std::int64_t>(layers.size());
  double lost = 0, all = 0;  // squares
  for (std::int64_t layer = 0; layer < total; ++layer) {
    folder.heed(options.cancel, total);
    const std::vector<Module>& modules = layers[static_cast<std::size_t>(layer)];
    const DenseLayer dense(model.weights, layer);
    if (layer >= resumed) {
      std::vector<LinearReport> reports;
      const std::vector<TensorSource> sources = quantized_sources(model, layer, modules, hqq, reports);
      folder.add_layer(sources, reports, {});
    }
    for (const Module& module : modules) {
      const LinearReport& report = folder.reports().at(summary.tensors.size());
      const double norm = matrix_of(module, model.weights).to(at::kDouble).norm().item<double>();
      lost += report.weight_error * report.weight_error * norm * norm;
      all += norm * norm;
      summary.tensors.push_back({.name = report.name,
                                 .shape = {module.rows(), module.target.inputs()},
                                 .from = module.from,
                                 .to = summary.type,
                                 .relative_error = report.weight_error,
                                 .seconds = report.seconds,
                                 .resumed = layer < resumed});
    }
    tell_layer(options, layer + 1, total);
  }
  summary.relative_error = all > 0 ? std::sqrt(lost / all) : 0;
}

QuantizationSummary write_folder(const std::string& source, const std::string& output,
                                 const QuantizationOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  check_weights_only(options);
  HqqOptions hqq = options.hqq;
  check(hqq);
  hqq.round_zero = hqq.round_zero || hqq.bits == 4;
  const std::unique_ptr<Model> model = open_layerwise(source);
  const std::vector<std::vector<Module>> layers = checked_layers(*model, hqq);
  if (!options.resume) forget_unfinished(output);
  QuantizedFolder folder(output, run_of(*model, hqq));
  QuantizationSummary summary{.type = options.type, .source_bytes = tensor_bytes(source)};
  write_layers(*model, layers, hqq, options, folder, summary);
  Json config = folder_config(*model);
  config.as_object()["quantization_config"] = hqq_config(hqq, skipped_modules(*model));
  folder.finish(*model, config);
  measure(output, summary);
  summary.seconds = seconds_since(begin);
  return summary;
}

}  // namespace

QuantizationSummary quantize_by_hqq(const std::string& source, const std::string& output,
                                    const QuantizationOptions& options) {
  return guarded([&] { return write_folder(source, output, options); });
}

}  // namespace powerhouse
