// What quantizers that look at text have in common: the text, the memory they may use, and what they report.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "powerhouse/export.h"

namespace powerhouse {

/// Text becomes sequences of one length, taken at even distances from all of it; each begins with BOS where the
/// tokenizer puts one.
struct CalibrationOptions {
  std::int64_t sequences = 128;        ///< at most; fewer where the text is shorter, which is a warning
  std::int64_t sequence_length = 512;  ///< in tokens
  /// What the model will be measured on. Error{usage} where a run of 32 tokens stands in both: such a measurement would
  /// praise what it was fitted to. Empty: not looked at.
  std::string evaluation_text{};
  /// Bytes that weights and activations may take beside what is mapped of the model's file; 0: 6 GiB. Sequences go
  /// through a layer in as many parts as that asks for. Error{memory} that says how much is needed at least.
  std::size_t memory = 0;
};

/// One linear layer (or an expert's).
struct LinearReport {
  std::string name{};       ///< of the module on Hugging Face
  std::int64_t tokens = 0;  ///< of the calibration text that reached it
  double weight_error = 0;  ///< |W - W'| / |W|
  double output_error = 0;  ///< |X (W - W')^T| / |X W^T| on the calibration text; 0 where no token reached it
  double damp_percent = 0;  ///< that made the Hessian positive definite (GPTQ)
  double seconds = 0;
  std::string note{};  ///< what was out of the ordinary, else empty
};

struct QuantizationReport {
  std::vector<LinearReport> linears{};  ///< in the order of the forward pass, those of a run before a kill too
  std::vector<std::string> warnings{};  ///< also sent to the log
  std::int64_t tokens = 0;              ///< of the calibration text
  std::int64_t resumed_layers = 0;      ///< that an earlier run had done
  double seconds = 0;                   ///< of this run
};

struct QuantizationCallbacks {
  /// After each layer: how many are done, of how many, and the reports of this one's linear layers.
  std::function<void(std::int64_t done, std::int64_t total, const std::vector<LinearReport>& linears)> on_layer{};
  std::stop_token stop{};  ///< Error{cancelled} behind the layer at hand, whose work is kept
};

}  // namespace powerhouse
