// safetensors: 8-byte little-endian header length, a JSON header {name: {dtype, shape, data_offsets}}, then the bytes.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/tensor_view.h"

namespace powerhouse {

struct SafetensorsFile {
  std::string path;
  std::vector<std::pair<std::string, std::string>> metadata;  // __metadata__
  std::vector<TensorView> tensors;                            // in the order of their offsets
};

/// Opens and checks one file: header bounds, dtypes, shapes against offsets, no overlap, no hole, nothing past the end.
SafetensorsFile read_safetensors(const std::string& path);
SafetensorsFile parse_safetensors(const std::shared_ptr<const MappedFile>& file);

/// All tensors of a folder: model.safetensors, else model.safetensors.index.json with its shards (where both stand,
/// transformers takes the one file too). Error{not_found} where there is neither, Error{format} where index and shards
/// disagree. With `missing`, files that are not there join it instead (formats/shards.h).
std::vector<TensorView> read_safetensors_folder(const std::string& folder, std::vector<std::string>* missing = nullptr);

/// A tensor to write. `write` is called once with a sink and must pass exactly `bytes` bytes, in pieces as it likes, so
/// that a model need not be in memory twice.
struct TensorSource {
  std::string name;
  BlockFormat format = BlockFormat::f32;
  std::vector<std::int64_t> shape;
  std::size_t bytes = 0;
  std::function<void(const std::function<void(const void*, std::size_t)>& sink)> write;
};

/// Writes one file atomically. Tensors are laid out as the safetensors library does: by dtype alignment, then name.
void write_safetensors(const std::string& path, std::span<const TensorSource> tensors,
                       std::span<const std::pair<std::string, std::string>> metadata = {});

/// Writes model.safetensors, or shards of at most `max_shard_bytes` with their index, into an existing folder; weights
/// of an earlier save there are removed, as transformers does.
void write_safetensors_folder(const std::string& folder, std::span<const TensorSource> tensors,
                              std::size_t max_shard_bytes);

}  // namespace powerhouse
