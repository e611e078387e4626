#include "calibration/quantized_folder.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "model/saver.h"
#include "ops/dequantize.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "powerhouse/tensor_file.h"
#include "support/atomic_write.h"

namespace powerhouse {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& path, const std::string& what, const std::error_code& code) {
  throw Error(ErrorKind::io, what + ": " + code.message(), {.file = path});
}

void make_folder(const std::string& path) {
  std::error_code code;
  fs::create_directories(path, code);
  if (code) fail(path, "cannot create the folder", code);
}

Json to_json(const LinearReport& report) {
  JsonObject out;
  out["name"] = report.name;
  out["tokens"] = report.tokens;
  out["weight_error"] = report.weight_error;
  out["output_error"] = report.output_error;
  out["damp_percent"] = report.damp_percent;
  out["seconds"] = report.seconds;
  out["note"] = report.note;
  return Json(std::move(out));
}

LinearReport to_report(const Json& row) {
  return {.name = row.at("name").as_string("name"),
          .tokens = row.at("tokens").as_integer("tokens"),
          .weight_error = row.at("weight_error").as_double("weight_error"),
          .output_error = row.at("output_error").as_double("output_error"),
          .damp_percent = row.at("damp_percent").as_double("damp_percent"),
          .seconds = row.at("seconds").as_double("seconds"),
          .note = row.at("note").as_string("note")};
}

// "a/b" of "a/b/".
std::string without_slashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  if (path.empty()) throw Error(ErrorKind::usage, "no output folder", {.field = "output"});
  return path;
}

// Throws for the first member in which two runs differ.
void check_same(const std::string& folder, const Json& kept, const Json& asked) {
  for (const auto& [key, value] : asked.as_object()) {
    const Json* const other = kept.get(key);
    if (other != nullptr && value.is_object() && other->is_object()) {
      check_same(folder, *other, value);
    } else if (const std::string was = other == nullptr ? "none" : other->dump(); was != value.dump()) {
      throw Error(ErrorKind::usage, "another quantization was begun here: finish it, or remove the folder",
                  {.file = folder, .field = key, .expected = was, .found = value.dump()});
    }
  }
}

TensorSource source_of(const TensorView& view) {
  return {.name = view.name,
          .format = view.format,
          .shape = view.shape,
          .bytes = view.bytes,
          .write = [view](const auto& sink) {
            sink(view.data, view.bytes);
            view.release();
          }};
}

}  // namespace

TensorSource source_of(PackedTensor tensor) {
  const std::size_t bytes = tensor.bytes.size();
  return {.name = tensor.name,
          .format = tensor.format,
          .shape = tensor.shape,
          .bytes = bytes,
          .write = [bytes = std::move(tensor.bytes)](const auto& sink) { sink(bytes.data(), bytes.size()); }};
}

std::vector<TensorSource> plain_sources(const Model& model, std::int64_t layer,
                                        const std::vector<const ParameterSpec*>& quantized) {
  std::vector<TensorSource> sources;
  for (const ParameterSpec& spec : model.weights.specs()) {
    if (spec.layer != layer || std::find(quantized.begin(), quantized.end(), &spec) != quantized.end()) continue;
    const Assembly& assembly = spec.hf.front();
    for (std::size_t part = 0; part < assembly.names.size(); ++part) {
      std::size_t bytes = c10::elementSize(model.type);
      for (const std::int64_t size : assembly.shape) bytes *= static_cast<std::size_t>(size);
      sources.push_back({.name = assembly.names[part],
                         .format = to_block_format(model.type),
                         .shape = assembly.shape,
                         .bytes = bytes,
                         .write = [&model, &spec, &assembly, part](const auto& sink) {
                           const Weight& weight = model.weights.weight(spec);
                           const at::Tensor tensor =
                               stored_part(dequantized(weight, model.type), assembly, static_cast<std::int64_t>(part));
                           sink(tensor.const_data_ptr(), tensor.nbytes());
                           weight.release_file();
                         }});
    }
  }
  return sources;
}

void forget_unfinished(const std::string& output) {
  const std::string partial = without_slashes(output) + ".partial";
  std::error_code code;
  if (!fs::exists(partial, code)) return;
  FolderLock lock;
  lock.take(partial);
  fs::remove_all(partial, code);
  if (code) fail(partial, "cannot remove the folder", code);
}

std::string free_output(std::string output) {
  output = without_slashes(std::move(output));
  std::error_code ignored;
  if (fs::exists(output, ignored) && !(fs::is_directory(output, ignored) && fs::is_empty(output, ignored))) {
    throw Error(ErrorKind::usage, "the output is there already", {.file = output});
  }
  return output;
}

void give_name(const std::string& folder, const std::string& output) {
  if (const auto parent = fs::path(output).parent_path(); !parent.empty()) make_folder(parent.string());
  std::error_code code;
  fs::rename(folder, output, code);
  if (code) fail(output, "cannot rename the finished folder", code);
}

QuantizedFolder::QuantizedFolder(std::string output, Json run)
    : output_(free_output(std::move(output))), partial_(output_ + ".partial"), run_(std::move(run)) {
  lock_.take(partial_);
  std::error_code code;
  const std::string progress = partial_ + "/progress.json";
  if (!fs::exists(progress, code)) return;
  const Json kept = Json::parse_file(progress);
  check_same(partial_, kept.at("run"), run_);
  layers_done_ = kept.at("layers_done").as_integer("layers_done");
  for (const Json& row : kept.at("linears").as_array("linears")) reports_.push_back(to_report(row));
}

QuantizedFolder::~QuantizedFolder() {
  std::error_code ignored;
  if (layers_done_ == 0) fs::remove(partial_, ignored);  // which it does to an empty folder only
}

std::string QuantizedFolder::layer_path(std::int64_t layer) const {
  char name[40];
  std::snprintf(name, sizeof name, "/layer-%05lld.safetensors", static_cast<long long>(layer));
  return partial_ + name;
}

std::string QuantizedFolder::states_path(std::int64_t layers) const {
  return partial_ + "/states-" + std::to_string(layers) + ".safetensors";
}

at::Tensor QuantizedFolder::states() const {
  if (layers_done_ == 0) return {};
  return load_safetensors(states_path(layers_done_)).front().second;
}

void QuantizedFolder::heed(const std::stop_token& stop, std::int64_t total) const {
  if (!stop.stop_requested()) return;
  throw Error(ErrorKind::cancelled, "the quantization was stopped; it goes on where it ended",
              {.file = output_, .found = std::to_string(layers_done_) + " of " + std::to_string(total) + " layers"});
}

void QuantizedFolder::add_layer(const std::vector<TensorSource>& tensors, const std::vector<LinearReport>& reports,
                                const at::Tensor& states) {
  write_safetensors(layer_path(layers_done_), tensors);
  if (states.defined()) {
    const std::vector<NamedTensor> kept = {{"states", states}};
    save_safetensors(states_path(layers_done_ + 1), kept);
  }
  reports_.insert(reports_.end(), reports.begin(), reports.end());
  ++layers_done_;
  JsonObject progress;
  progress["run"] = run_;
  progress["layers_done"] = layers_done_;
  Json::Array rows;
  for (const LinearReport& report : reports_) rows.push_back(to_json(report));
  progress["linears"] = std::move(rows);
  write_atomically(partial_ + "/progress.json", Json(std::move(progress)).dump(1) + "\n");
  std::error_code ignored;
  fs::remove(states_path(layers_done_ - 1), ignored);
}

void QuantizedFolder::finish(const Model& model, const Json& config) {
  const std::string folder = partial_ + "/model";
  std::error_code code;
  fs::remove_all(folder, code);
  make_folder(folder);
  std::vector<TensorSource> sources = plain_sources(model, -1, {});
  for (std::int64_t layer = 0; layer < layers_done_; ++layer) {
    for (const TensorView& view : read_safetensors(layer_path(layer)).tensors) sources.push_back(source_of(view));
  }
  write_safetensors_folder(folder, sources, SaveOptions{}.max_shard_bytes);
  write_files(folder, tokenizer_files(model.origin, model.config, model.role_tokens));
  write_atomically(folder + "/config.json", config.dump(2) + "\n");
  give_name(folder, output_);
  fs::remove_all(partial_, code);
}

}  // namespace powerhouse
