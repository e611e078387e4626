// Mixes and types of GGUF: what llama.cpp's convert and llama-quantize make, in one pass over the checkpoint.
#include <algorithm>
#include <optional>

#include "calibration/calibration_data.h"
#include "calibration/folder_source.h"
#include "calibration/gguf_budget.h"
#include "calibration/gguf_types.h"
#include "calibration/importance_collector.h"
#include "calibration/methods.h"
#include "kernels/reference/encode.h"
#include "model/api_guard.h"
#include "model/causal_lm_impl.h"
#include "model/gguf_description.h"
#include "model/loader.h"
#include "powerhouse/error.h"
#include "powerhouse/log.h"
#include "quantization/file_quantizer.h"
#include "quantization/mixes.h"

namespace powerhouse {
namespace {

std::string names_of_mixes() {
  std::string names;
  for (const Mix& mix : mixes()) names += std::string(names.empty() ? "" : ", ") + mix.name;
  return names;
}

std::vector<MixTensor> mix_tensors(const SourceModel& source) {
  std::vector<MixTensor> tensors;
  for (const SourceTensor& tensor : source.tensors) {
    tensors.push_back({.name = tensor.name, .shape = tensor.shape, .format = tensor.format});
  }
  return tensors;
}

// The entries that the user wants importance for.
void keep_wanted(ImportanceMatrix& matrix, const QuantizationOptions& options) {
  const auto contains_one_of = [](const std::string& name, const std::vector<std::string>& parts) {
    return std::any_of(parts.begin(), parts.end(),
                       [&](const std::string& part) { return name.find(part) != std::string::npos; });
  };
  std::erase_if(matrix.entries, [&](const ImportanceEntry& entry) {
    if (contains_one_of(entry.weight, options.exclude_weights)) return true;
    return !options.include_weights.empty() && !contains_one_of(entry.weight, options.include_weights);
  });
}

// Where keys of an earlier quantization stood; what llama-quantize sets comes last, in its order.
void put(std::vector<GgufEntry>& metadata, GgufEntry entry) {
  std::erase_if(metadata, [&](const GgufEntry& other) { return other.key == entry.key; });
  metadata.push_back(std::move(entry));
}

std::vector<GgufEntry> metadata_of(const SourceModel& source, int file_type, const ImportanceMatrix* importance,
                                   const std::string& file) {
  constexpr std::size_t kLongestText = 127;  // llama-quantize keeps no more
  std::vector<GgufEntry> metadata = source.metadata;
  put(metadata, {"general.quantization_version", kGgufQuantizationVersion});
  put(metadata, {"general.file_type", static_cast<std::uint32_t>(file_type)});
  if (importance == nullptr) return metadata;
  if (!file.empty()) put(metadata, {"quantize.imatrix.file", file.substr(0, kLongestText)});
  if (!importance->datasets.empty()) {
    put(metadata, {"quantize.imatrix.dataset", importance->datasets.front().substr(0, kLongestText)});
  }
  put(metadata, {"quantize.imatrix.entries_count", static_cast<std::uint32_t>(importance->entries.size())});
  if (importance->chunk_count > 0) {
    put(metadata, {"quantize.imatrix.chunks_count", static_cast<std::uint32_t>(importance->chunk_count)});
  }
  return metadata;
}

class GgufMethod {
 public:
  GgufMethod(const std::string& path, const QuantizationOptions& options)
      : options_(options),
        copies_(upper_case(options.type) == "COPY"),
        budgeted_(upper_case(options.type) == "BUDGET") {
    mix_ = find_mix(options.type);
    if (mix_ == nullptr && !copies_ && !budgeted_) {
      throw Error(ErrorKind::usage, "no such type of quantization",
                  {.field = "type",
                   .expected = names_of_mixes() + ", COPY, budget, " + names_of_methods(),
                   .found = options.type});
    }
    if (budgeted_) check_budget(options.budget);
    source_ = open_source(path);
  }

  QuantizationSummary run(const std::string& output) {
    find_importance();
    FilePlan plan{.importance = importance_.entries.empty() ? nullptr : &importance_,
                  .memory_bytes = options_.memory_bytes,
                  .resume = options_.resume,
                  .on_progress = options_.on_progress,
                  .cancel = options_.cancel};
    int file_type = source_.file_type;
    std::vector<double> costs;
    if (copies_) {
      for (const SourceTensor& tensor : source_.tensors) plan.formats.push_back(tensor.format);
    } else if (budgeted_) {
      const GgufLayout empty =
          gguf_layout(output, metadata_of(source_, 0, plan.importance, options_.imatrix), layout());
      BudgetedMix mix = budgeted_mix(source_, sequences(), importance_, empty.header.size(), options_);
      plan.formats = std::move(mix.formats);
      costs = std::move(mix.costs);
      file_type = mix.file_type;
    } else {
      plan.formats = types(plan.importance != nullptr);
      file_type = mix_->file_type;
    }
    check_types(source_, plan, mix_, options_);
    plan.metadata = metadata_of(source_, file_type, plan.importance, options_.imatrix);
    QuantizationSummary report = options_.dry_run ? planned(source_, plan) : write_quantized(source_, output, plan);
    report.type = copies_ ? "COPY" : budgeted_ ? "budget" : mix_->name;
    for (std::size_t i = 0; i < costs.size(); ++i) {
      report.tensors[i].expected_divergence = costs[i];
      report.expected_divergence += costs[i];
    }
    return report;
  }

 private:
  std::vector<BlockFormat> types(bool importance) const {
    return mix_types(*mix_, source_.facts, mix_tensors(source_), importance, overrides_of(options_.gguf));
  }

  // Tensors as a layout wants them, whatever their types: names and shapes make the header.
  std::vector<TensorSource> layout() const {
    std::vector<TensorSource> tensors;
    for (const SourceTensor& tensor : source_.tensors) tensors.push_back({.name = tensor.name, .shape = tensor.shape});
    return tensors;
  }

  // From the file, or from the text where something reads it.
  void find_importance() {
    if (!options_.imatrix.empty()) {
      importance_ = read_importance(options_.imatrix);
    } else if (!options_.calibration_text.empty() && reads_importance()) {
      importance_ = importance_of_text(source_.path, sequences(),
                                       {.dataset = options_.calibration_name,
                                        .memory_bytes = options_.calibration.memory,
                                        .cancel = options_.cancel});
      warn_of_unseen();
    }
    keep_wanted(importance_, options_);
  }

  bool reads_importance() const {
    if (copies_ || options_.dry_run) return false;
    if (budgeted_) return true;
    const std::vector<BlockFormat> formats = types(true);
    return std::any_of(formats.begin(), formats.end(),
                       [](BlockFormat format) { return powerhouse::reads_importance(format); });
  }

  void warn_of_unseen() const {
    for (const ImportanceEntry& entry : importance_.entries) {
      if (entry.unseen_experts() == 0) continue;
      log(LogLevel::warning, entry.weight + ": the calibration text never reached " +
                                 std::to_string(entry.unseen_experts()) + " of " + std::to_string(entry.counts.size()) +
                                 " experts, whose columns weigh alike");
    }
  }

  const TokenSequences& sequences() {
    if (!sequences_.empty()) return sequences_;
    if (options_.calibration_text.empty()) {
      throw Error(ErrorKind::usage, "a budget is measured on a text",
                  {.field = "calibration_text", .expected = "some thousand tokens", .found = "none"});
    }
    const Tokenizer tokenizer = Tokenizer::from_pretrained(source_.path);
    const Checkpoint checkpoint = open_checkpoint(source_.path);
    CalibrationData data = calibration_data(tokenizer, options_.calibration_text,
                                            longest_sequence(load_config(checkpoint).config), options_.calibration);
    for (const std::string& warning : data.warnings) log(LogLevel::warning, warning);
    sequences_ = std::move(data.sequences);
    return sequences_;
  }

  const QuantizationOptions& options_;
  bool copies_, budgeted_;
  const Mix* mix_ = nullptr;
  SourceModel source_{};
  ImportanceMatrix importance_{};
  TokenSequences sequences_{};
};

}  // namespace

QuantizationSummary quantize_to_gguf(const std::string& path, const std::string& output,
                                     const QuantizationOptions& options) {
  return guarded([&] { return GgufMethod(path, options).run(output); });
}

}  // namespace powerhouse
