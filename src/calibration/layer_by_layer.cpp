#include "calibration/layer_by_layer.h"

#include <chrono>

#include "calibration/calibration_data.h"
#include "calibration/quantized_folder.h"
#include "model/api_guard.h"
#include "model/model_fingerprint.h"
#include "model/saver.h"
#include "powerhouse/log.h"
#include "powerhouse/pooled_tensors.h"
#include "support/seconds_since.h"
#include "support/sha256.h"

namespace powerhouse {
namespace {

Json run_of(const Model& model, const CalibrationData& data, const Json& options) {
  std::string ids;
  for (const auto& sequence : data.sequences) {
    for (const std::int64_t id : sequence) ids += std::to_string(id) + ' ';
    ids += '\n';
  }
  JsonObject run;
  run["model"] = model_fingerprint(model);
  run["calibration"] = sha256(ids);
  run["options"] = options;
  return Json(std::move(run));
}

std::vector<TensorSource> layer_sources(const Model& model, std::int64_t layer, const LayerMethod& method,
                                        const std::vector<QuantizedTarget>& done) {
  if (!method.pack) return plain_sources(model, layer, {});
  std::vector<const ParameterSpec*> quantized;
  std::vector<TensorSource> sources;
  for (const QuantizedTarget& own : done) {
    quantized.push_back(own.target.spec);
    for (const ModuleRows& module : own.target.modules) {
      for (PackedTensor& tensor : method.pack(select_rows(own.codes, module.rows), module.name)) {
        sources.push_back(source_of(std::move(tensor)));
      }
    }
  }
  for (TensorSource& source : plain_sources(model, layer, quantized)) sources.push_back(std::move(source));
  return sources;
}

void warn(QuantizationReport& report, std::string text) {
  log(LogLevel::warning, text);
  report.warnings.push_back(std::move(text));
}

QuantizationReport quantize(const std::string& path, const std::string& output, std::string_view text,
                            const LayerMethod& method, const CalibrationOptions& options,
                            const QuantizationCallbacks& callbacks) {
  const auto begin = std::chrono::steady_clock::now();
  const PooledTensors pool;  // each layer makes the sizes of the one before
  const std::unique_ptr<Model> model = open_layerwise(path);
  // What codes say stands exactly in float32.
  model->type = method.type.value_or(method.pack ? model->type : at::kFloat);
  const auto total = static_cast<std::int64_t>(model->config.layers.size());
  for (std::int64_t layer = 0; layer < total; ++layer) {
    for (const LinearTarget& target : linear_targets(model->weights, layer)) method.check(target);
  }
  const Tokenizer tokenizer = Tokenizer::from_pretrained(path);
  const CalibrationData data = calibration_data(tokenizer, text, longest_sequence(model->config), options);
  LayerwiseRun run(*model, data, options.memory, method.memory(*model));
  QuantizedFolder folder(output, run_of(*model, data, method.options));
  QuantizationReport report{.tokens = data.tokens(), .resumed_layers = folder.layers_done()};
  for (const std::string& warning : data.warnings) warn(report, warning);
  if (folder.layers_done() > 0) {
    run.restore(folder.states());
  } else {
    run.embed();
  }
  for (std::int64_t layer = folder.layers_done(); layer < total; ++layer) {
    folder.heed(callbacks.stop, total);
    const DenseLayer dense(model->weights, layer);
    const std::vector<QuantizedTarget> done = method.quantize(*model, run, layer);
    std::vector<LinearReport> linears;
    for (const QuantizedTarget& own : done) {
      linears.push_back(own.report);
      if (!own.report.note.empty()) warn(report, own.report.name + ": " + own.report.note);
    }
    folder.add_layer(layer_sources(*model, layer, method, done), linears, run.states());
    if (callbacks.on_layer) callbacks.on_layer(layer + 1, total, linears);
  }
  Json config = folder_config(*model);
  if (!method.config.is_null()) config.as_object()["quantization_config"] = method.config;
  folder.finish(*model, config);
  report.linears = folder.reports();
  report.seconds = seconds_since(begin);
  return report;
}

}  // namespace

QuantizationReport quantize_layer_by_layer(const std::string& model, const std::string& output, std::string_view text,
                                           const LayerMethod& method, const CalibrationOptions& options,
                                           const QuantizationCallbacks& callbacks) {
  return guarded([&] { return quantize(model, output, text, method, options, callbacks); });
}

}  // namespace powerhouse
