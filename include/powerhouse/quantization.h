// Quantizing a checkpoint into a smaller one, tensor by tensor: the model is never in memory whole.
//
//     auto report = powerhouse::quantize("SmolLM2-135M", "SmolLM2-135M.Q4_K_M.gguf", {.type = "Q4_K_M"});
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "powerhouse/awq.h"
#include "powerhouse/calibration.h"
#include "powerhouse/export.h"
#include "powerhouse/gptq.h"
#include "powerhouse/hqq.h"

namespace powerhouse {

/// Which type each tensor of a GGUF file gets, beside the mix: llama-quantize's flags.
struct GgufTypeOptions {
  bool pure = false;                   ///< the mix's own type for all that quantizes
  bool leave_output_tensor = false;    ///< output.weight stays as it is
  std::string output_tensor_type{};    ///< a type's name (Q6_K), of output.weight or of embeddings that stand for it
  std::string token_embedding_type{};  ///< likewise, of token_embd.weight
  /// A regular expression that is looked for in names, and a type; the first that fits decides.
  std::vector<std::pair<std::string, std::string>> tensor_types{};
  bool allow_requantize = false;  ///< from codes to other codes, which costs more than from the original
};

/// For type "budget": the best types for a size, by measured error.
struct BudgetOptions {
  double bits_per_weight = 0;        ///< of all weights, norms included; 0: as max_bytes has it
  std::uint64_t max_bytes = 0;       ///< of the whole file; 0: as bits_per_weight has it
  std::vector<std::string> types{};  ///< candidates; empty: all of a size near the one wanted
};

struct QuantizationProgress {
  std::int64_t tensor = 0;   ///< tensors done
  std::int64_t tensors = 0;  ///< in all
  std::string name{};        ///< of the one in work
  double share = 0;          ///< of the work done, 0 to 1
};

struct QuantizationOptions {
  /// A mix or type of GGUF in any case ("Q4_K_M", "IQ3_XXS", "MXFP4_MOE", "BF16"), its number, "COPY", or "budget": a
  /// GGUF file. "gptq", "awq" or "hqq": a folder. "nf4", "fp4" or "int8": a folder as bitsandbytes has it, of which the
  /// codes are in memory whole.
  std::string type = "Q4_K_M";
  GgufTypeOptions gguf{};
  BudgetOptions budget{};
  GptqOptions gptq{};
  AwqOptions awq{};
  /// 1, 2, 3, 4 or 8 bits, groups that 32 divides. Of 4 bits round_zero is set, as transformers' HqqConfig has it.
  HqqOptions hqq{};
  bool double_quantization = false;  ///< nf4, fp4: scales take the values that codes of 8 bits can say
  /// A file of importance matrices, llama.cpp's or ours (collect_importance). Weights whose name contains one of
  /// `exclude_weights`, or none of `include_weights` where there are any, are quantized without.
  std::string imatrix{};
  std::vector<std::string> include_weights{}, exclude_weights{};
  /// A text, and what it is called. Without an imatrix, types that read importance have it collected from this text
  /// first; "budget" measures by it what each tensor's error costs.
  std::string calibration_text{}, calibration_name{};
  CalibrationOptions calibration{};  ///< which of it, and what memory the model may take meanwhile
  /// Text to measure the result's logits on, against the source's: its first 8,192 tokens. Empty: not measured.
  std::string divergence_text{};
  /// Bytes that quantization may take beside the program itself and pages of mapped files. Error{memory} where a row of
  /// the widest tensor does not fit.
  std::uint64_t memory_bytes = std::uint64_t{256} << 20;
  /// Whether to go on with what an earlier run with the same source and options left unfinished.
  bool resume = true;
  /// Says what would be done, and how large the result would be.
  bool dry_run = false;
  std::function<void(const QuantizationProgress&)> on_progress{};
  std::stop_token cancel{};  ///< Error{cancelled}; what is done is kept for the next run
};

struct QuantizedTensor {
  std::string name{};                 ///< as the written file has it
  std::vector<std::int64_t> shape{};  ///< outermost first
  std::string from{}, to{};           ///< types, by name
  std::uint64_t bytes = 0;            ///< in the written file
  double relative_error = 0;          ///< root mean square of what quantization took away, over that of the weights
  double seconds = 0;                 ///< 0 in a dry run
  bool importance = false;            ///< whether importance weighed its columns
  std::int64_t unseen_experts = 0;    ///< experts of it that the calibration text never reached
  bool resumed = false;               ///< done by an earlier run
  double output_error = 0;            ///< of methods that look at a text: the same of what the layer makes of it
  double expected_divergence = 0;     ///< of type "budget": what the error adds to the mean KL divergence of the logits
};

/// Of logits against the source's, which no text had a part in making if the text is not the calibration's.
struct LogitDivergence {
  std::int64_t tokens = 0;  ///< 0: not measured
  double mean = 0;          ///< Kullback-Leibler divergence from the source's distribution, in nats a token
  double same_top = 0;      ///< share of tokens whose most probable successor is the same
};

struct QuantizationSummary {
  std::string type{};
  std::vector<QuantizedTensor> tensors{};
  std::uint64_t source_bytes = 0;  ///< of the tensors
  std::uint64_t bytes = 0;         ///< of the tensors, written
  std::int64_t weights = 0;        ///< numbers in all tensors
  double relative_error = 0;       ///< of all that was quantized
  double expected_divergence = 0;  ///< of all of them
  LogitDivergence divergence{};    ///< measured, where options.divergence_text is given
  double seconds = 0;

  double bits_per_weight() const {
    return weights > 0 ? 8.0 * static_cast<double>(bytes) / static_cast<double>(weights) : 0;
  }
};

/// Quantizes `source`, a GGUF file or a folder in Hugging Face layout, into `output`: a GGUF file, or, by methods with
/// a header of their own (gptq.h, awq.h), a folder as it says there. Of a GGUF file: Nothing stands under that name
/// before all is done and checked: bytes go to `<output>.partial`, and a run that was killed is gone on with.
///
/// Error{usage} for a type that is not known or needs importance that is missing, {unsupported} for what has no GGUF
/// form, {format} for damaged sources, {numeric} for NaN, infinity and values that a type can't hold, naming tensor,
/// row and column, {io} for a full disk or a folder that can't be written, {memory}, {cancelled}.
POWERHOUSE_API QuantizationSummary quantize(const std::string& source, const std::string& output,
                                            const QuantizationOptions& options = {});

}  // namespace powerhouse
