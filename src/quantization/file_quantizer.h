// A GGUF file out of a SourceModel, tensor by tensor in parts of rows, within a budget of memory; resumable.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "powerhouse/quantization.h"
#include "quantization/importance.h"
#include "quantization/rows.h"
#include "quantization/source_model.h"

namespace powerhouse {

/// Everything that decides what is written.
struct FilePlan {
  std::vector<BlockFormat> formats{};  ///< of the source's tensors
  std::vector<GgufEntry> metadata{};   ///< whole, in order
  const ImportanceMatrix* importance = nullptr;
  std::uint64_t memory_bytes = 0;
  bool resume = true;
  std::function<void(const QuantizationProgress&)> on_progress{};
  std::stop_token cancel{};
};

/// The importance of a tensor's columns, [matrices, columns]; empty where there is none. Error{usage} where the matrix
/// has another number of columns or matrices (llama.cpp uses none of such embeddings, and so does this).
std::vector<float> importance_of(const ImportanceMatrix* matrix, const SourceTensor& tensor);

/// Quantizes all rows of a tensor in parts and hands over each part's bytes, in their order. `memory` bounds what is
/// held.
ErrorSums quantize_tensor(const SourceTensor& tensor, BlockFormat format, std::span<const float> importance,
                          std::uint64_t memory, const std::stop_token& cancel,
                          const std::function<void(std::span<const std::byte>)>& sink);

/// Writes the file. The report has one row a tensor; Error as `quantize` (powerhouse/quantization.h).
QuantizationSummary write_quantized(const SourceModel& source, const std::string& path, const FilePlan& plan);

/// The same without reading the tensors nor writing anything.
QuantizationSummary planned(const SourceModel& source, const FilePlan& plan);

}  // namespace powerhouse
