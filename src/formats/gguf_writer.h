// GGUF, version 3, written: header, metadata, tensor infos, then the tensors, each at a multiple of 32 bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "formats/gguf_reader.h"
#include "formats/safetensors.h"

namespace powerhouse {

/// A value of any type, as the bytes behind its type.
struct GgufVerbatim {
  GgufType type = GgufType::u8;
  std::string bytes{};
  bool operator==(const GgufVerbatim&) const = default;
};

/// A key and its value, of the type that the alternative says.
struct GgufEntry {
  using Value = std::variant<std::uint32_t, std::int32_t, float, bool, std::string, std::vector<std::uint32_t>,
                             std::vector<std::int32_t>, std::vector<float>, std::vector<bool>, std::vector<std::string>,
                             GgufVerbatim>;
  std::string key;
  Value value;
  bool operator==(const GgufEntry&) const = default;
};

/// Entries of another file, copied as they are: those whose keys begin with `prefix`. Error{unsupported} for a value
/// of a type that GgufEntry has no alternative for.
std::vector<GgufEntry> copy_entries(const GgufFile& file, std::string_view prefix);

/// All entries of another file, byte for byte, whatever their types.
std::vector<GgufEntry> verbatim_entries(const GgufFile& file);

/// A file that is to be written: its beginning, and where each tensor follows.
struct GgufLayout {
  std::string header{};                  // up to the first tensor
  std::vector<std::uint64_t> offsets{};  // of the tensors, from the file's beginning
  std::uint64_t bytes = 0;               // of the file
};

/// The layout of these entries and tensors, of which `write` is not called. Errors as below.
GgufLayout gguf_layout(const std::string& path, std::span<const GgufEntry> metadata,
                       std::span<const TensorSource> tensors);

/// Writes one file atomically. Tensors lie in the order given; shapes are outermost first, as everywhere here.
/// Error{unsupported} for a format that GGUF has no number for, Error{usage} for a name or key that stands twice.
/// `check` is given the whole file under its temporary name; what it throws leaves nothing behind.
void write_gguf(const std::string& path, std::span<const GgufEntry> metadata, std::span<const TensorSource> tensors,
                const std::function<void(const std::string& written)>& check = nullptr);

}  // namespace powerhouse
