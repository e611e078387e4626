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

/// A key and its value, of the type that the alternative says.
struct GgufEntry {
  using Value =
      std::variant<std::uint32_t, std::int32_t, float, bool, std::string, std::vector<std::uint32_t>,
                   std::vector<std::int32_t>, std::vector<float>, std::vector<bool>, std::vector<std::string>>;
  std::string key;
  Value value;
  bool operator==(const GgufEntry&) const = default;
};

/// Entries of another file, copied as they are: those whose keys begin with `prefix`. Error{unsupported} for a value
/// of a type that GgufEntry has no alternative for.
std::vector<GgufEntry> copy_entries(const GgufFile& file, std::string_view prefix);

/// Writes one file atomically. Tensors lie in the order given; shapes are outermost first, as everywhere here.
/// Error{unsupported} for a format that GGUF has no number for, Error{usage} for a name or key that stands twice.
/// `check` is given the whole file under its temporary name; what it throws leaves nothing behind.
void write_gguf(const std::string& path, std::span<const GgufEntry> metadata, std::span<const TensorSource> tensors,
                const std::function<void(const std::string& written)>& check = nullptr);

}  // namespace powerhouse
