// SourceModel: what a GGUF file of a checkpoint would hold if nothing were quantized, not yet read.
//
// A tensor gives its rows in parts, in the order that the file will have, so that whoever writes it holds a part alone.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "formats/gguf_reader.h"
#include "formats/gguf_writer.h"
#include "kernels/common/blocks.h"
#include "kernels/common/element.h"
#include "quantization/mixes.h"
#include "support/mapped_file.h"

namespace powerhouse {

/// Rows of numbers that lie one behind the other.
struct SourceRows {
  const void* data = nullptr;
  Element type = Element::f32;
};

struct SourceTensor {
  std::string name{};                 // GGUF's
  std::vector<std::int64_t> shape{};  // outermost first
  /// What it has in the checkpoint, and in a file where it is not quantized; float32 for vectors and what is kept.
  BlockFormat format = BlockFormat::f32;
  /// Whether its numbers come from codes: to quantize them again costs more than to quantize the model they were of.
  bool quantized = false;
  /// The whole tensor as the file will have it in `format`; null where only `rows` can say.
  const std::byte* bytes = nullptr;
  std::shared_ptr<const MappedFile> file{};  // of `bytes`
  /// Rows [begin, end) of all matrices, one behind the other. They may lie in the checkpoint or in `room`, and hold
  /// until the next call.
  std::function<SourceRows(std::int64_t begin, std::int64_t end, std::vector<std::byte>& room)> rows{};
  /// Gives back the pages of rows that were read.
  std::function<void()> release{};

  std::int64_t columns() const { return shape.empty() ? 1 : shape.back(); }
  std::int64_t row_count() const;
  /// Matrices that each have an importance of their own.
  std::int64_t matrices() const;
};

struct SourceModel {
  std::string path{};
  /// Changes where the checkpoint does: files by name, size and time, and what is read of them.
  std::string identity{};
  std::vector<GgufEntry> metadata{};  // without general.file_type and general.quantization_version
  MixModel facts{};
  int file_type = 0;  // general.file_type of a file in which nothing is quantized
  std::vector<SourceTensor> tensors{};
  /// Looks at the file that was written, before it has its name; may be null.
  std::function<void(const std::string& written)> check{};
};

/// Of formats that are plain numbers.
std::optional<Element> element_of(BlockFormat format);

/// A GGUF file's: its metadata byte for byte, its tensors as they are.
SourceModel gguf_source(const std::shared_ptr<const GgufFile>& file);

/// Puts the tensors into the order of llama.cpp's files (mix_order).
void sort_tensors(SourceModel& source);

/// For `SourceModel::identity`: the text of what is known of these tensors and of the files that they lie in.
std::string identity_of(const std::vector<TensorView>& tensors);

}  // namespace powerhouse
